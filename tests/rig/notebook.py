"""A notebook's side of a Jupyter server.

    python notebook.py BASE specs | start NAME | restart ID | run ID CODE

Run by a Python that has websocket-client, as jupyter-server brings it along.
"""

import json
import sys
import urllib.request
import uuid

import websocket

TOKEN = {"Authorization": "token tests"}


def ask(base, path, body=None):
    """Return the server's answer to GET, or to POST with a body."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(f"{base}/{path}", data, TOKEN)
    with urllib.request.urlopen(request, timeout=60) as answer:
        return json.load(answer)


def run(base, kernel, code):
    """Return what code prints in a kernel, its error included."""
    address = f"{base.replace('http', 'ws', 1)}/api/kernels/{kernel}/channels"
    client = websocket.create_connection(address, timeout=120, header=TOKEN)
    header = {"msg_id": uuid.uuid4().hex, "msg_type": "execute_request", "session": "tests"}
    content = {"code": code, "silent": False, "store_history": False, "allow_stdin": False}
    client.send(
        json.dumps(
            {
                "header": header,
                "parent_header": {},
                "metadata": {},
                "content": content,
                "channel": "shell",
            }
        )
    )
    said = ""
    while True:
        message = json.loads(client.recv())
        if message["parent_header"].get("msg_id") != header["msg_id"]:
            continue
        content = message["content"]
        said += content.get("text", "") + content.get("evalue", "")
        if message["msg_type"] == "status" and content["execution_state"] == "idle":
            return said


def main(base, what, *words):
    if what == "specs":
        print(json.dumps(ask(base, "api/kernelspecs")["kernelspecs"]))
    elif what == "start":
        print(ask(base, "api/kernels", {"name": words[0]})["id"])
    elif what == "restart":
        print(ask(base, f"api/kernels/{words[0]}/restart", {})["id"])
    else:
        print(run(base, *words))


main(*sys.argv[1:])
