/** What a confined worker asked of the kernel once it was ready, as strace saw it from outside. */

/**
 * The lines of `trace` (strace -f -o) that are the worker's own, from the moment on when it said `ready`. Empty: no worker
 * ever said so.
 */
export function callsOfReadyWorker(trace: string): string[] {
  const lines = trace.split('\n');
  const readyAt = lines.findIndex((line) => line.includes('write(3,') && line.includes('ready'));
  if (readyAt < 0) return [];
  const pid = lines[readyAt]?.split(' ')[0] ?? '';
  const threads = lines.flatMap((line) => (line.startsWith(`${pid} `) ? [/clone3?.*= (\d+)$/.exec(line)?.[1]] : []));
  const own = new Set([pid, ...threads.filter((one) => one !== undefined)]);
  return lines.slice(readyAt).filter((line) => own.has(line.split(' ')[0] ?? '') && !isAllocator(line));
}

/** The C library's allocator asks for this when a thread first needs an arena: it is refused, as all else would be. */
function isAllocator(line: string): boolean {
  return line.includes('"/proc/sys/vm/overcommit_memory"') && line.includes('EPERM');
}

/** Those of the lines that open, look for, connect to, run or signal something. */
export function callsOutwards(lines: readonly string[]): string[] {
  return lines.filter((line) =>
    /^\d+ +(<\.\.\. )?(open|creat|stat|lstat|newfstatat|statx|access|readlink|socket|connect|bind|exec|clone|fork|vfork|kill|ptrace)/.test(
      line,
    ),
  );
}

/** The names of all calls in the lines. */
export function callNames(lines: readonly string[]): string[] {
  return [...new Set(lines.flatMap((line) => /^\d+ +(\w+)\(/.exec(line)?.[1] ?? []))];
}
