/**
 * Projects, by kind and cost:
 *
 *   unit          beside the source, and tests/architecture: milliseconds each
 *   smoke         the built command once through each of its jobs, and short fuzz runs: with `unit` this is `npm run test:quick`
 *   e2e           the built command as a user runs it
 *   hostile       crafted images
 *   differential  against QEMU and real filesystems, with processes and loop mounts of their own
 *   system        `npm run test:system`: kernels that boot under QEMU, and the long tables of the other projects with all of
 *                 their cases (tests/support/depth.ts), of which `npm test` runs a share
 */
import { defineConfig, type TestProjectInlineConfiguration } from 'vitest/config';
import { HANG_MS } from './tests/support/hang.ts';

/** `#layer` imports lead to the source, not to what was built. */
const fromSource = {
  resolve: { conditions: ['source'] },
  ssr: { resolve: { conditions: ['source', 'node', 'import', 'module', 'default'] } },
};

interface ProjectChoice {
  readonly name: string;
  readonly include: readonly string[];
  /** Test files that run at the same time; projects that run together have the same number. */
  readonly workers: number;
  readonly env?: Readonly<Record<string, string>>;
}

/** Test files with long tables: those that use `sampled` or `repetitions` of tests/support/depth.ts. */
const LONG_TABLES = [
  'tests/differential/{truth,random-histories,adversary,guarantee,host-map}.test.ts',
  'tests/hostile/{daemon,ledger}-crash.test.ts',
  'tests/e2e/{btrfs-metadata,dashboard-demo}.test.ts',
];

/** Mutated images of each format. */
const SHORT_FUZZ = { PLIMSOLL_FUZZ_RUNS: '600' };

function project({ name, include, workers, env = {} }: ProjectChoice): TestProjectInlineConfiguration {
  return {
    ...fromSource,
    test: {
      name,
      include: [...include],
      environment: 'node',
      pool: 'forks',
      maxWorkers: workers,
      env,
      sequence: { groupOrder: workers },
      testTimeout: HANG_MS,
      hookTimeout: HANG_MS,
      expect: { poll: { timeout: HANG_MS, interval: 20 } },
    },
  };
}

export default defineConfig({
  test: {
    passWithNoTests: false,
    projects: [
      project({ name: 'unit', include: ['src/**/*.test.ts', 'tests/architecture/**/*.test.ts'], workers: 2 }),
      project({ name: 'smoke', include: ['tests/smoke/**/*.test.ts', 'tests/hostile/*fuzz.test.ts'], workers: 2, env: SHORT_FUZZ }),
      project({ name: 'e2e', include: ['tests/e2e/**/*.test.ts'], workers: 2 }),
      project({ name: 'hostile', include: ['tests/hostile/**/*.test.ts'], workers: 2 }),
      project({ name: 'differential', include: ['tests/differential/**/*.test.ts'], workers: 2 }),
      project({ name: 'system', include: ['tests/system/**/*.test.ts', ...LONG_TABLES], workers: 1, env: { PLIMSOLL_DEPTH: 'full' } }),
    ],
  },
});
