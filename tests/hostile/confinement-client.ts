/**
 * Queries a confined worker from a process of its own, and prints the outcome. Arguments: the worker's bundle, the image, the
 * request, its parameters as JSON, the limits as JSON.
 */
import { closeSync, fstatSync, openSync } from 'node:fs';
import { runConfined } from '#sandbox';

const [worker = '', image = '', name = '', params = 'null', limits = '{}'] = process.argv.slice(2);
const fd = openSync(image, 'r');
try {
  const files = [{ fd, byteLength: fstatSync(fd).size }];
  const value = await runConfined({ name, params: JSON.parse(params) }, { worker, files, limits: JSON.parse(limits) as object });
  process.stdout.write(JSON.stringify({ value }));
} catch (error) {
  process.stdout.write(JSON.stringify({ error }));
}
closeSync(fd);
