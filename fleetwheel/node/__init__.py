"""The program for hosts: runs there on Python 3.8 or newer, with the standard library and pynvml.

A deploy puts it under ``<root>/lib/node-DIGEST``; where it is not yet, it travels on standard input
(see ``collectors/program.py``). ``python -I …/node-DIGEST ACTION`` reads one JSON document and
prints one.
"""
