/**
 * Five projects, run one after another so that the heavy ones do not fight over the processors:
 *
 *   unit          beside the source, and tests/architecture: milliseconds each
 *   e2e           the built command as a user runs it
 *   hostile       images made to hurt
 *   differential  against QEMU and real filesystems: minutes, processes and loop mounts of its own
 *   system        kernels that boot under QEMU: `npm run test:system`, no part of `npm test`
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
  /** Projects of a lower order are done before this one begins. */
  readonly order: number;
  /** Test files that run at the same time. */
  readonly workers: number;
}

function project({ name, include, order, workers }: ProjectChoice): TestProjectInlineConfiguration {
  return {
    ...fromSource,
    test: {
      name,
      include: [...include],
      environment: 'node',
      pool: 'forks',
      maxWorkers: workers,
      sequence: { groupOrder: order },
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
      project({ name: 'unit', include: ['src/**/*.test.ts', 'tests/architecture/**/*.test.ts'], order: 0, workers: 2 }),
      project({ name: 'e2e', include: ['tests/e2e/**/*.test.ts'], order: 1, workers: 2 }),
      project({ name: 'hostile', include: ['tests/hostile/**/*.test.ts'], order: 2, workers: 2 }),
      // Runs its own jobs two at a time inside each file.
      project({ name: 'differential', include: ['tests/differential/**/*.test.ts'], order: 3, workers: 1 }),
      project({ name: 'system', include: ['tests/system/**/*.test.ts'], order: 4, workers: 1 }),
    ],
  },
});
