"""A name server with one answer to every question; arguments: its address, the answer.

It returns to the caller once it listens.
"""

import os
import socket
import sys

server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
server.bind((sys.argv[1], 53))
if os.fork():
    os._exit(0)
os.setsid()
null = os.open("/dev/null", os.O_RDWR)
for stream in range(3):
    os.dup2(null, stream)
while True:
    query, client = server.recvfrom(512)
    end = query.index(b"\0", 12) + 5  # the name, its type and class
    answer = b"\xc0\x0c\0\1\0\1\0\0\0\0\0\4" + socket.inet_aton(sys.argv[2])
    counts = b"\0\1\0\1\0\0\0\0"
    server.sendto(query[:2] + b"\x85\x80" + counts + query[12:end] + answer, client)
