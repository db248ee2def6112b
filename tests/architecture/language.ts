/** The language rules of CONTRIBUTING.md, as far as a pattern can hold them: source, tests and documents. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { ROOT } from './source.ts';

/** Phrases that are always wrong here, each with its plain form. */
const FORBIDDEN: readonly (readonly [RegExp, string])[] = [
  [/\bwhoever\b/i, 'name the noun: the caller, every process'],
  // `nobody` is also the user of that name.
  [/\b(?:[Ss]omebody|[Ee]verybody)\b/, 'name the noun: another process, every user'],
  [/\bNobody\b|\bnobody (?:has|can|may|could|knows?|is|was|will|else|asks?|reads?|writes?)\b/, 'no process, no user'],
  [/\bthat (?:is|are) none\b/, 'not valid, invalid'],
  [/\b(?:can ?not|could not) be told\b/, 'unknown'],
  [/\b(?:can ?not|could not) be asked\b/, 'the query failed'],
  [/\bbehind the (?:wall|seal|back)\b/, 'confined'],
  [/\b(?:can|could|may) come to (?:have|be|consume|need|store)\b/, 'can grow to, the maximum'],
  [/\blook(?:ed|ing)? into (?:the )?process(?:es)?\b/, 'inspect'],
];

/** Paths of all texts, from the root. */
export const TEXT_FILES: readonly string[] = [
  'README.md',
  'ARCHITECTURE.md',
  ...['src', 'tests', 'docs', 'deploy', 'bench'].flatMap((folder) =>
    readdirSync(join(ROOT, folder), { recursive: true, encoding: 'utf8' })
      .filter((path) => /\.(?:tsx?|md|json|ya?ml|html|css|service|toml)$/.test(path))
      .map((path) => `${folder}/${path}`),
  ),
  // It quotes the phrases.
].filter((path) => path !== 'tests/architecture/language.ts');

/** Lines of the file `path` that break a rule, each with its plain form. */
export function violationsIn(path: string): string[] {
  const text = readFileSync(join(ROOT, path), 'utf8');
  return text
    .split('\n')
    .flatMap((line, index) =>
      FORBIDDEN.filter(([pattern]) => pattern.test(line)).map(([, better]) => `${path}:${index + 1}: ${line.trim()} (${better})`),
    );
}

/** Test titles that the documents quote and no test has. */
export function missingTitles(): string[] {
  const titles = TEXT_FILES.filter((path) => path.endsWith('.ts'))
    .map((path) => readFileSync(join(ROOT, path), 'utf8').replaceAll("\\'", "'"))
    .join('\n');
  const quoted = ['docs/promises.md', 'docs/security.md'].flatMap((path) =>
    [...readFileSync(join(ROOT, path), 'utf8').matchAll(QUOTED_TITLE)].map(([, one, other]) => one ?? other ?? ''),
  );
  if (quoted.length === 0) throw new Error('the documents quote no test title: the pattern is out of date');
  return quoted.filter((title) => !title.split('...').every((part) => titles.includes(part.trim())));
}

const QUOTED_TITLE = /\.test\.ts`: "([^"`|]+)"|`(?:hostile|differential|e2e)\/[\w-]+`: "([^"`|]+)"/g;
