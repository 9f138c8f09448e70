"""An HTTPS server of MTA-STS policies: sts_web.py ADDRESS CERT KEY POLICIES.json (a policy for each Host)."""
import http.server
import json
import ssl
import sys

POLICIES = json.load(open(sys.argv[4]))


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        policy = POLICIES.get(self.headers.get("Host", "").split(":")[0])
        found = policy and self.path == "/.well-known/mta-sts.txt"
        body = (policy if found else "nothing here\n").encode()
        self.send_response(200 if found else 404)
        self.send_header("Content-Type", "text/plain")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


server = http.server.ThreadingHTTPServer((sys.argv[1], 443), Handler)
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(sys.argv[2], sys.argv[3])
server.socket = context.wrap_socket(server.socket, server_side=True)
server.serve_forever()
