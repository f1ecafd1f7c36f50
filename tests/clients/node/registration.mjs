// oauth4webapi and openid-client register themselves by an initial access token (RFC 7591), and get a token then.

import * as oauth from 'oauth4webapi';
import * as client from 'openid-client';
import assert from 'node:assert/strict';
import { cases, check } from './cases.mjs';

const issuer = new URL(cases.issuer);
const initialAccessToken = cases.initial_access_token;
const api = cases.apis.find(({ algorithm }) => algorithm === 'ES256');

await check('oauth4webapi registers with a key and gets a token', async () => {
  const response = await oauth.discoveryRequest(issuer, { algorithm: 'oauth2' });
  const server = await oauth.processDiscoveryResponse(issuer, response);
  const { publicKey, privateKey } = await oauth.generateKeyPair('ES256');
  const { kty, crv, x, y } = await crypto.subtle.exportKey('jwk', publicKey);
  const metadata = {
    client_name: 'self-made oauth4webapi',
    token_endpoint_auth_method: 'private_key_jwt',
    grant_types: ['client_credentials'],
    response_types: [],
    scope: `${api.scope} something:else`,
    jwks: { keys: [{ kty, crv, x, y, alg: 'ES256' }] },
  };
  const registered = await oauth.processDynamicClientRegistrationResponse(
    await oauth.dynamicClientRegistrationRequest(server, metadata, { initialAccessToken }),
  );
  assert.equal(registered.client_name, metadata.client_name);
  assert.equal(registered.scope, api.scope);
  assert.equal(registered.client_secret, undefined);
  const got = await oauth.clientCredentialsGrantRequest(
    server,
    registered,
    oauth.PrivateKeyJwt(privateKey),
    new URLSearchParams({ scope: api.scope }),
  );
  const answer = await oauth.processClientCredentialsResponse(server, registered, got);
  assert.equal(answer.scope, api.scope);
  // And manages that itself (RFC 7592).
  const own = { headers: { authorization: `Bearer ${registered.registration_access_token}` } };
  const shown = await fetch(registered.registration_client_uri, own);
  assert.equal((await shown.json()).client_id, registered.client_id);
  const removed = await fetch(registered.registration_client_uri, { ...own, method: 'DELETE' });
  assert.equal(removed.status, 204);
});

await check('openid-client registers with a secret and gets a token', async () => {
  const metadata = {
    client_name: 'self-made openid-client',
    token_endpoint_auth_method: 'client_secret_post',
    grant_types: ['client_credentials'],
    response_types: [],
  };
  const config = await client.dynamicClientRegistration(issuer, metadata, undefined, {
    initialAccessToken,
    algorithm: 'oauth2',
  });
  const answer = await client.clientCredentialsGrant(config, { scope: api.scope });
  assert.equal(answer.scope, api.scope);
});

await check('a wrong initial access token registers nobody', async () => {
  const metadata = { token_endpoint_auth_method: 'client_secret_post' };
  const options = { initialAccessToken: 'writ_iat_wrong', algorithm: 'oauth2' };
  await assert.rejects(client.dynamicClientRegistration(issuer, metadata, undefined, options));
});
