"""requests-oauth2client without a secret: private_key_jwt, DPoP, and token exchange between two services."""

import jwt
import requests
from cases import CASES, check
from jwskate import Jwk
from requests_oauth2client import DPoPToken, OAuth2Client, PrivateKeyJwt
from requests_oauth2client.exceptions import EndpointError

METADATA = requests.get(f"{CASES['issuer']}/.well-known/oauth-authorization-server", timeout=30).json()
KEYED = CASES["keyed"]
FIRST, SECOND = CASES["apis"][:2]


def keyed(**more):
    """A client that has a key and no secret."""
    key = Jwk.from_pem(KEYED["private_key"]).with_kid_thumbprint()
    auth = PrivateKeyJwt(KEYED["client_id"], key, alg="ES256", aud=CASES["issuer"])
    return OAuth2Client(METADATA["token_endpoint"], auth=auth, **more)


with check("private_key_jwt with DPoP"):
    token = keyed(dpop_bound_access_tokens=True).client_credentials(scope=FIRST["scope"])
    assert isinstance(token, DPoPToken), token
    claims = jwt.decode(token.access_token, options={"verify_signature": False})
    assert claims["client_id"] == KEYED["client_id"] and set(claims["cnf"]) == {"jkt"}, claims

with check("without DPoP it is refused"):
    try:
        keyed().client_credentials(scope=FIRST["scope"])
        raise AssertionError("refused was expected")
    except EndpointError as error:
        assert error.error == "invalid_request", error

with check("token exchange"):
    caller = OAuth2Client(METADATA["token_endpoint"], (CASES["client_id"], CASES["client_secret"]))
    service = OAuth2Client(METADATA["token_endpoint"], (CASES["guard"]["client_id"], CASES["guard"]["client_secret"]))
    subject = caller.client_credentials(scope=FIRST["scope"])
    acting = service.token_exchange(
        subject_token=subject.access_token,
        subject_token_type="urn:ietf:params:oauth:token-type:access_token",
        scope=SECOND["scope"],
    )
    claims = jwt.decode(acting.access_token, options={"verify_signature": False})
    assert claims["sub"] == CASES["client_id"], claims
    assert claims["act"] == {"sub": CASES["guard"]["client_id"]}, claims
    assert claims["aud"] == SECOND["identifier"] and claims["scope"] == SECOND["scope"], claims
