/** The dashboard: files that were built, given out as they are under a policy by which a browser runs nothing else. */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import fastifyStatic from '@fastify/static';
import type { FastifyInstance } from 'fastify';

/** On every response: nothing is loaded from elsewhere, nothing runs inline, and no other page may frame this one. */
export const SECURITY_HEADERS: Readonly<Record<string, string>> = {
  'content-security-policy': "default-src 'self'; object-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
  'x-content-type-options': 'nosniff',
  'referrer-policy': 'no-referrer',
  'x-frame-options': 'DENY',
  'cross-origin-resource-policy': 'same-origin',
};

const NOT_BUILT =
  'plimsoll is running. The dashboard was not built (npm run build); the API is under /api/v1, its description at /api/v1/openapi.json.\n';

/** `directory`: the built page, or undefined where there is none. */
export async function addDashboard(app: FastifyInstance, directory: string | undefined): Promise<void> {
  if (directory === undefined || !existsSync(join(directory, 'index.html'))) {
    app.get('/', { schema: { hide: true } }, (_request, reply) => reply.type('text/plain; charset=utf-8').send(NOT_BUILT));
    return;
  }
  await app.register(fastifyStatic, {
    root: directory,
    dotfiles: 'ignore',
    cacheControl: false,
    // Names of assets carry a hash of what is in them; the page itself does not.
    setHeaders: (response, path) => {
      void response.header(
        'cache-control',
        path.startsWith(join(directory, 'assets')) ? 'public, max-age=31536000, immutable' : 'no-cache',
      );
    },
    schemaHide: true,
  });
}
