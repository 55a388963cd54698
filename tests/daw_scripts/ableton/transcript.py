"""A whole job with a made-up server, in one process and on Python's own library: runs under Python 3.7 too.

transcript.py FOLDER → prints Python's version and the tracks that are there at the end
"""

import os
import socket
import struct
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import desk as desks


def wav(path, frames=48000, rate=48000):
    data = struct.pack("<f", 0.25) * frames
    head = struct.pack("<4sIHHIIHH", b"fmt ", 16, 3, 1, rate, rate * 4, 4, 32)
    with open(path, "wb") as file:
        file.write(b"RIFF" + struct.pack("<I", len(data) + 36) + b"WAVE" + head + b"data")
        file.write(struct.pack("<I", len(data)) + data)
    return path


def main(folder):
    server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    server.bind(("127.0.0.1", 0))
    server.settimeout(300)
    desk = desks.Desk(os.path.join(folder, "home"), server.getsockname()[1])
    from Stemwright import osc

    desk.clip(wav(os.path.join(folder, "song.wav")), name="Söng [bass]")
    desk.order("do")
    address, who = "", None
    while address != b"/stemwright/extract":
        data, who = server.recvfrom(65536)
        address = data.split(b"\0")[0]
    job = next(iter(desk.app.tasks))
    server.sendto(osc.encode("/stemwright/accepted", (job, 0)), who)
    for index, kind in enumerate(("bass", "rest")):
        path = wav(os.path.join(folder, kind + ".wav"))
        server.sendto(osc.encode("/stemwright/result", (job, index, 2, kind, path, 1.0, 0)), who)
    server.sendto(osc.encode("/stemwright/finished", (job, 0.5)), who)
    desk.finish(20)
    desk.close()
    server.close()
    assert not [line for line in desk.c_instance.log if "Traceback" in line], desk.c_instance.log
    print(".".join(map(str, sys.version_info[:2])))
    print("; ".join(desk.names))


if __name__ == "__main__":
    main(sys.argv[1])
