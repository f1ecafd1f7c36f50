// The Course Management API: an ordinary Express API that trusts access tokens from one issuer. It knows nothing of
// Writ: express-jwt checks signature, issuer, audience and expiry with keys that jwks-rsa fetches from the JWKS, and
// the two middlewares below check scopes. Courses live in memory and are gone when the process ends.
//
// Settings (environment):
//   ISSUER        the authorization server   (default https://localhost:9443)
//   AUDIENCE      this API's identifier      (default https://courses.example/api)
//   PORT          0 picks a free port        (default 3000)
//   NODE_EXTRA_CA_CERTS=path/to/cert.pem     is Node's own, for an issuer with a self-signed certificate

import express from 'express';
import { expressjwt } from 'express-jwt';
import jwksRsa from 'jwks-rsa';

const issuer = process.env.ISSUER ?? 'https://localhost:9443';
const audience = process.env.AUDIENCE ?? 'https://courses.example/api';
const port = Number(process.env.PORT ?? 3000);

const checkJwt = expressjwt({
  secret: jwksRsa.expressJwtSecret({
    cache: true,
    rateLimit: true,
    jwksRequestsPerMinute: 5,
    jwksUri: `${issuer}/oauth2/jwks`,
  }),
  audience,
  issuer,
  algorithms: ['RS256'],
});

const readScopes = {
  all: 'courses:read',
  approved: 'courses:read-approved',
  published: 'courses:read-published',
};

/** Which scope a request needs, from its method, path and query. */
function determineScopes(req, res, next) {
  if (req.method === 'GET') {
    req.status = typeof req.query.status === 'string' ? req.query.status.toLowerCase() : 'published';
    req.requiredScope = readScopes[req.status] ?? 'courses:read';
  } else if (req.method === 'POST') {
    req.requiredScope = 'courses:write';
  } else {
    req.requiredScope = 'courses:publish';
  }
  next();
}

/** Refuses a token that lacks the scope. `scope` is one string of words separated by spaces (RFC 9068 §2.2.3). */
function checkScope(req, res, next) {
  const held = (req.auth?.scope ?? '').split(' ');
  if (!held.includes(req.requiredScope)) {
    return res
      .status(403)
      .set('WWW-Authenticate', `Bearer error="insufficient_scope", scope="${req.requiredScope}"`)
      .json({ error: 'insufficient_scope', error_description: `missing required scope: ${req.requiredScope}` });
  }
  next();
}

/** The day that lies `days` from today, as YYYY-MM-DD. */
function dayFromToday(days) {
  return new Date(Date.now() + days * 86_400_000).toISOString().slice(0, 10);
}

const courses = [
  { id: 1, name: 'Compilers', details: 'From text to machine', started_date: dayFromToday(3), status: 'approved' },
  { id: 2, name: 'Databases', details: 'From log to table', started_date: dayFromToday(30), status: 'approved' },
  { id: 3, name: 'Networks', details: 'From wire to socket', started_date: dayFromToday(3), status: 'pending' },
];

const app = express();
app.disable('x-powered-by');
app.use('/api', checkJwt, determineScopes, checkScope);
app.use(express.json());

app.get('/api/courses', (req, res) => {
  res.json(courses.filter((course) => req.status === 'all' || course.status === req.status));
});

app.post('/api/courses', (req, res) => {
  const { name, details, started_date } = req.body ?? {};
  if (!name || !details || !/^\d{4}-\d{2}-\d{2}$/.test(started_date ?? '')) {
    return res.status(400).json({ error: 'invalid_course', error_description: 'name, details and started_date (YYYY-MM-DD) are needed' });
  }
  const course = { id: courses.length + 1, name, details, started_date, status: 'pending' };
  courses.push(course);
  res.status(201).json(course);
});

app.patch('/api/courses/:id', (req, res) => {
  const course = courses.find(({ id }) => id === Number(req.params.id));
  if (!course) return res.status(404).json({ error: 'not_found', error_description: 'no such course' });
  if (req.body?.status !== 'published' || course.status !== 'approved') {
    return res.status(409).json({ error: 'not_publishable', error_description: 'only an approved course can be published' });
  }
  course.status = 'published';
  res.json(course);
});

// Express knows an error handler by its four parameters.
app.use((err, req, res, next) => {
  if (err.name === 'UnauthorizedError') {
    // No token at all has no error code on the wire (RFC 6750 §3.1); a refused one says why.
    const missing = err.code === 'credentials_required';
    return res
      .status(401)
      .set('WWW-Authenticate', missing ? 'Bearer' : `Bearer error="invalid_token"`)
      .json({ error: missing ? 'token_required' : 'invalid_token', error_description: err.message });
  }
  const status = err.status ?? err.statusCode ?? 500;
  res.status(status).json({ error: status < 500 ? 'invalid_request' : 'server_error', error_description: err.message });
});

const server = app.listen(port, '127.0.0.1', (err) => {
  if (err) throw err;
  console.log(`courses-api: listening on http://localhost:${server.address().port}`);
});
