"""Issuers of tokens for workloads, by joserfc: one like GitHub Actions, one like a Kubernetes cluster (both with OIDC
discovery), and a SPIFFE trust domain with its bundle endpoint. They serve over TLS until they are ended.

Arguments: a PEM file with certificate and key for 127.0.0.1, a port, and the audience of the tokens. Prints the line
`issued JSON` once they serve: what each platform would have given to jobs, by name.
"""

import json
import ssl
import sys
import time
import uuid
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from joserfc import jws, jwt
from joserfc.jwk import ECKey, RSAKey

IDENTITY, PORT, AUDIENCE = sys.argv[1], int(sys.argv[2]), sys.argv[3]
HOST = f"https://127.0.0.1:{PORT}"
NOW = int(time.time())

GITHUB_KEY = RSAKey.generate_key(2048, {"use": "sig", "alg": "RS256", "kid": str(uuid.uuid4())})
CLUSTER_KEY = RSAKey.generate_key(2048, {"use": "sig", "alg": "RS256", "kid": "kx3Yd1kmZ4"})
SVID_KEY = ECKey.generate_key("P-256", {"kid": "C6vs25welZOx6WksNYfbMfiw9l96pMnD"})
CA_KEY = ECKey.generate_key("P-384")
STRANGER = ECKey.generate_key("P-256", {"kid": SVID_KEY.kid})


def github(ref="refs/heads/main", seconds=300, repository="octo-org/octo-repo", **changed):
    """docs.github.com, "OpenID Connect reference": the claims of a token of a workflow run."""
    claims = {
        "jti": str(uuid.uuid4()),
        "sub": f"repo:{repository}:ref:{ref}",
        "aud": AUDIENCE,
        "ref": ref,
        "sha": "c24e8b1d9f0e4e6f8e9a2b0f7d1c3a5b6e7f8091",
        "repository": repository,
        "repository_owner": "octo-org",
        "repository_owner_id": "65",
        "repository_visibility": "private",
        "repository_id": "74",
        "run_id": "9876543210",
        "run_number": "10",
        "run_attempt": "2",
        "actor": "octocat",
        "actor_id": "12",
        "workflow": "deploy",
        "head_ref": "",
        "base_ref": "",
        "event_name": "push",
        "ref_protected": "true",
        "ref_type": "branch",
        "job_workflow_ref": f"{repository}/.github/workflows/deploy.yml@{ref}",
        "runner_environment": "github-hosted",
        "iss": HOST,
        "nbf": NOW - 300,
        "exp": NOW + seconds,
        "iat": NOW,
        **changed,
    }
    header = {"typ": "JWT", "alg": "RS256", "x5t": "eBZ_cn3sXYAd0ch4THBKHIgOwOE", "kid": GITHUB_KEY.kid}
    return jwt.encode(header, claims, GITHUB_KEY)


def kubernetes(namespace="billing", account="nightly", seconds=3600, key=CLUSTER_KEY, audience=None):
    """kubernetes.io, "Managing Service Accounts": the claims of a projected, bound token. It has no `typ`."""
    claims = {
        "aud": [audience or AUDIENCE],
        "exp": NOW + seconds,
        "iat": NOW,
        "iss": f"{HOST}/cluster",
        "jti": str(uuid.uuid4()),
        "kubernetes.io": {
            "namespace": namespace,
            "node": {"name": "node-7", "uid": str(uuid.uuid4())},
            "pod": {"name": f"{account}-5d9c6", "uid": str(uuid.uuid4())},
            "serviceaccount": {"name": account, "uid": str(uuid.uuid4())},
        },
        "nbf": NOW,
        "sub": f"system:serviceaccount:{namespace}:{account}",
    }
    return jws.serialize_compact({"alg": "RS256", "kid": key.kid}, json.dumps(claims), key)


def svid(path="/ns/billing/sa/nightly", domain="example.org", seconds=300, key=SVID_KEY, audience=None):
    """SPIFFE JWT-SVID §2 and §3, as SPIRE makes them: no `iss`."""
    claims = {
        "aud": [audience or AUDIENCE],
        "exp": NOW + seconds,
        "iat": NOW,
        "sub": f"spiffe://{domain}{path}",
    }
    return jwt.encode({"alg": "ES256", "kid": key.kid, "typ": "JWT"}, claims, key)


def public(key, **more):
    return {**key.as_dict(private=False), **more}


DOCUMENTS = {
    "/.well-known/openid-configuration": {
        "issuer": HOST,
        "jwks_uri": f"{HOST}/.well-known/jwks",
        "subject_types_supported": ["public", "pairwise"],
        "response_types_supported": ["id_token"],
        "claims_supported": ["sub", "aud", "exp", "iat", "iss", "jti", "nbf", "ref", "repository"],
        "id_token_signing_alg_values_supported": ["RS256"],
        "scopes_supported": ["openid"],
    },
    "/.well-known/jwks": {"keys": [public(GITHUB_KEY)]},
    "/cluster/.well-known/openid-configuration": {
        "issuer": f"{HOST}/cluster",
        "jwks_uri": f"{HOST}/cluster/openid/v1/jwks",
        "response_types_supported": ["id_token"],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": ["RS256"],
    },
    "/cluster/openid/v1/jwks": {"keys": [public(CLUSTER_KEY)]},
    # SPIFFE Trust Domain and Bundle §4: each key with a `use` of its own, and keys for certificates too.
    "/bundle": {
        "spiffe_sequence": 3,
        "spiffe_refresh_hint": 300,
        "keys": [public(CA_KEY, use="x509-svid"), public(SVID_KEY, use="jwt-svid")],
    },
}


class Documents(BaseHTTPRequestHandler):
    """Answers with the documents."""

    def do_GET(self):
        document = DOCUMENTS.get(self.path)
        body = json.dumps(document).encode()
        self.send_response(200 if document else 404)
        # What the API server of Kubernetes calls its key set.
        kind = "jwk-set+json" if self.path.startswith("/cluster/openid") else "json"
        self.send_header("Content-Type", f"application/{kind}")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


server = ThreadingHTTPServer(("127.0.0.1", PORT), Documents)
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(IDENTITY)
server.socket = context.wrap_socket(server.socket, server_side=True)
other = "https://another.example"
issued = {
    "github": github(),
    "github, another branch": github(ref="refs/heads/feature"),
    "github, another repository": github(repository="octo-org/fork"),
    "github, a repository of the same name": github(repository_id="75"),
    "github, for another": github(aud=other),
    "github, expired": github(seconds=-1),
    "github, by another issuer": github(iss=f"{HOST}/cluster"),
    "kubernetes": kubernetes(),
    "kubernetes, another namespace": kubernetes(namespace="default"),
    "kubernetes, another account": kubernetes(account="default"),
    "kubernetes, for the API server": kubernetes(audience="https://kubernetes.default.svc"),
    "kubernetes, for a year": kubernetes(seconds=31536000),
    "kubernetes, another key": kubernetes(key=GITHUB_KEY),
    "svid": svid(),
    "svid, another workload": svid(path="/ns/billing/sa/other"),
    "svid, another trust domain": svid(domain="example.com"),
    "svid, for another": svid(audience=other),
    "svid, expired": svid(seconds=-1),
    "svid, another key": svid(key=STRANGER),
}
print("issued", json.dumps(issued), flush=True)
server.serve_forever()
