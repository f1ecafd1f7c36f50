// oidc-provider with its production settings, for JWT access tokens by client credentials: the fastest it
// offers. Nothing is stored of a JWT, and secrets are compared in clear. It is told the algorithm, the
// application and its scopes, listens on a free port of 127.0.0.1, and prints the address.
import { generateKeyPairSync } from 'node:crypto';
import { createServer } from 'node:http';
import Provider from 'oidc-provider';

const [alg, clientId, clientSecret, scope] = process.argv.slice(2);
const resource = 'https://courses.example/api';

function signingKey() {
  const { privateKey } = {
    ES256: () => generateKeyPairSync('ec', { namedCurve: 'P-256' }),
    EdDSA: () => generateKeyPairSync('ed25519'),
    RS256: () => generateKeyPairSync('rsa', { modulusLength: 2048 }),
  }[alg]();
  return { ...privateKey.export({ format: 'jwk' }), alg, use: 'sig', kid: 'peer-key-1' };
}

const server = createServer();
server.listen(0, '127.0.0.1', () => {
  const { port } = server.address();
  const provider = new Provider(`http://127.0.0.1:${port}`, {
    jwks: { keys: [signingKey()] },
    clients: [{
      client_id: clientId,
      client_secret: clientSecret,
      grant_types: ['client_credentials'],
      redirect_uris: [],
      response_types: [],
      token_endpoint_auth_method: 'client_secret_post',
      // Its default, RS256, would want a key for ID tokens, of which there are none here.
      id_token_signed_response_alg: alg,
    }],
    features: {
      devInteractions: { enabled: false },
      clientCredentials: { enabled: true },
      resourceIndicators: {
        enabled: true,
        defaultResource: () => resource,
        useGrantedResource: () => true,
        getResourceServerInfo: () => ({
          scope,
          audience: resource,
          accessTokenFormat: 'jwt',
          accessTokenTTL: 3600,
          jwt: { sign: { alg } },
        }),
      },
    },
    enabledJWA: { idTokenSigningAlgValues: [alg] },
    cookies: { keys: ['there are no cookies in this grant'] },
    scopes: scope.split(' '),
  });
  server.on('request', provider.callback());
  process.stdout.write(`peer: listening on 127.0.0.1:${port}\n`);
});
