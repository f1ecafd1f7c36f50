// oauth4webapi and openid-client without a secret: private_key_jwt and DPoP, and the check that a strict resource
// server makes of what they got.

import * as oauth from 'oauth4webapi';
import * as client from 'openid-client';
import assert from 'node:assert/strict';
import { cases, check } from './cases.mjs';

const { keyed } = cases;
const issuer = new URL(cases.issuer);
const api = cases.apis.find(({ algorithm }) => algorithm === 'ES256');

const pem = keyed.private_key.replace(/-----[A-Z ]+-----/g, '');
const key = await crypto.subtle.importKey(
  'pkcs8',
  Buffer.from(pem, 'base64'),
  { name: 'ECDSA', namedCurve: 'P-256' },
  false,
  ['sign'],
);

const server = await oauth.processDiscoveryResponse(
  issuer,
  await oauth.discoveryRequest(issuer, { algorithm: 'oauth2' }),
);
const party = { client_id: keyed.client_id };

await check('oauth4webapi private_key_jwt with DPoP', async () => {
  const DPoP = oauth.DPoP(party, await oauth.generateKeyPair('ES256'));
  const parameters = new URLSearchParams({ scope: api.scope, resource: api.identifier });
  const response = await oauth.clientCredentialsGrantRequest(server, party, oauth.PrivateKeyJwt(key), parameters, {
    DPoP,
  });
  const answer = await oauth.processClientCredentialsResponse(server, party, response);
  assert.equal(answer.token_type, 'dpop');
  assert.equal(answer.scope, api.scope);
  // What the client sends to an API, kept instead of sent.
  let sent;
  const resource = new URL(`${api.identifier}/courses`);
  await oauth.protectedResourceRequest(answer.access_token, 'GET', resource, undefined, undefined, {
    DPoP,
    [oauth.customFetch]: async (url, options) => {
      sent = new Request(url, options);
      return new Response();
    },
  });
  const claims = await oauth.validateJwtAccessToken(server, sent, api.identifier, { requireDPoP: true });
  assert.equal(claims.client_id, keyed.client_id);
  assert.deepEqual(Object.keys(claims.cnf), ['jkt']);
  // A bearer of the same token is nobody.
  const bearer = new Request(resource, { headers: { authorization: `Bearer ${answer.access_token}` } });
  await assert.rejects(oauth.validateJwtAccessToken(server, bearer, api.identifier));
});

await check('oauth4webapi without DPoP is refused', async () => {
  const parameters = new URLSearchParams({ scope: api.scope });
  const response = await oauth.clientCredentialsGrantRequest(server, party, oauth.PrivateKeyJwt(key), parameters);
  await assert.rejects(oauth.processClientCredentialsResponse(server, party, response), { error: 'invalid_request' });
});

await check('openid-client private_key_jwt with DPoP', async () => {
  const config = await client.discovery(issuer, keyed.client_id, undefined, client.PrivateKeyJwt(key), {
    algorithm: 'oauth2',
  });
  const DPoP = client.getDPoPHandle(config, await client.randomDPoPKeyPair('ES256'));
  const answer = await client.clientCredentialsGrant(config, { scope: api.scope }, { DPoP });
  assert.equal(answer.token_type, 'dpop');
  assert.equal(answer.scope, api.scope);
});
