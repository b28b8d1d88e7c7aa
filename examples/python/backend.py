"""A backend that lets pages into the private channel and sends them messages, with Pusher's own library.

    pip install -r requirements.txt
    PUSHER_APP_ID=... PUSHER_APP_KEY=... PUSHER_APP_SECRET=... python backend.py

The three values are those that `tidings` prints when it starts. Then open http://127.0.0.1:3000. The page's pusher-js
comes from npm: run `npm ci` in ../node once, or let the page load it from Pusher's CDN.
"""

import json
import os
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs

import pusher

NEEDED = ["PUSHER_APP_ID", "PUSHER_APP_KEY", "PUSHER_APP_SECRET"]
if missing := [name for name in NEEDED if not os.environ.get(name)]:
    sys.exit(f"set {', '.join(missing)}: `tidings` prints the values when it starts")
APP_ID, KEY, SECRET = (os.environ[name] for name in NEEDED)
HOST = os.environ.get("PUSHER_HOST", "127.0.0.1")
PORT = int(os.environ.get("PUSHER_PORT", "6001"))

backend = pusher.Pusher(APP_ID, KEY, SECRET, host=HOST, port=PORT, ssl=False)

EXAMPLES = Path(__file__).parent.parent
FILES = {
    "/": EXAMPLES / "page/index.html",
    "/pusher.min.js": EXAMPLES / "node/node_modules/pusher-js/dist/web/pusher.min.js",
}


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        if self.path == "/settings":
            self.answer(json.dumps({"key": KEY, "host": HOST, "port": PORT}).encode())
        elif self.path in FILES:
            self.answer(FILES[self.path].read_bytes())
        else:
            self.send_error(404)

    def do_POST(self):
        form = parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode())
        if self.path == "/pusher/auth":
            # pusher-js asks here before it subscribes. A real app looks at who is asking, and answers 403 to who may
            # not.
            self.answer(json.dumps(backend.authenticate(form["channel_name"][0], form["socket_id"][0])).encode())
        elif self.path == "/messages":
            backend.trigger("private-messages", "message", {"text": form["text"][0]})
            self.answer(b"sent\n")
        else:
            self.send_error(404)

    def answer(self, body):
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


if __name__ == "__main__":
    server = ThreadingHTTPServer(("127.0.0.1", int(os.environ.get("PORT", "3000"))), Handler)
    print(f"open http://127.0.0.1:{server.server_port}", flush=True)
    server.serve_forever()
