"""What a team's own file asks for: requirements.txt, pylock.toml, or a project with its uv.lock."""
