/**
 * Who may import whom, one reason per rule; layers.test.ts holds the source to it. From the bottom up: a layer imports
 * only what stands before it.
 */

export interface Layer {
  readonly name: string;
  /** Other layers, each with the reason. `types only` in front: nothing of it may run here. */
  readonly layers: Readonly<Record<string, string>>;
  /** Modules of Node itself, each with the reason. */
  readonly node: Readonly<Record<string, string>>;
  /** Packages from the registry, each with the file that may import it (or `*`) and the reason. */
  readonly packages: Readonly<Record<string, { readonly file: string; readonly reason: string }>>;
}

export const TYPES_ONLY = 'types only: ';

const nothing = {};

export const LAYERS: readonly Layer[] = [
  {
    name: 'base',
    layers: nothing,
    node: nothing,
    packages: nothing,
  },
  {
    name: 'codec',
    layers: { base: 'errors' },
    node: { 'node:zlib': 'deflate, and Zstandard where Node has it' },
    packages: { zstddec: { file: 'zstd.ts', reason: 'Zstandard for versions of Node without it: libzstd as WebAssembly' } },
  },
  {
    name: 'wire',
    layers: { base: 'the kinds of errors, for the table of exit codes' },
    node: nothing,
    packages: { typebox: { file: '*', reason: 'the schemas, and the types that follow from them' } },
  },
  {
    name: 'block',
    layers: { base: 'errors and checked numbers' },
    node: nothing,
    packages: nothing,
  },
  {
    name: 'formats',
    layers: {
      base: 'structure tables, errors, checked numbers',
      block: 'a parser gets its bytes from a device and does no I/O of its own choosing',
      codec: 'compressed clusters, checksums',
    },
    node: nothing,
    packages: nothing,
  },
  {
    name: 'commitment',
    layers: {
      base: 'checked arithmetic',
      block: 'what the host says of a file and its storage',
      formats: 'what the format says of an image: the census that the figures are made of',
      wire: 'figures are stated in the shapes that leave plimsoll',
    },
    node: nothing,
    packages: nothing,
  },
  {
    name: 'host',
    layers: { base: 'errors and checked numbers', block: 'a file is a device with facts' },
    node: {
      'node:child_process': 'the jail of a confined worker; systemd-notify where there is no koffi',
      'node:crypto': 'unpredictable names of temporary files; host and store ids',
      'node:fs': 'constants, and the calls that must not wait for the thread pool',
      'node:module': 'where koffi is installed, for the jail',
      'node:net': 'types of a connection whose listener is judged',
      'node:path': 'names',
      'node:stream': 'types of the pipes into the jail',
      'node:url': "the worker's bundle beside the module that asks for it",
      'node:util': 'names of errors',
    },
    packages: { koffi: { file: 'ffi.ts', reason: 'the only access to system calls that Node lacks' } },
  },
  {
    name: 'confined',
    layers: {
      base: 'errors and checked numbers',
      block: 'what a worker reads is a device',
      host: 'starts the confined process, and restricts the system calls of this one',
    },
    node: { 'node:fs': 'closes what a request left open', 'node:timers/promises': 'how long the end of a killed process is waited for' },
    packages: nothing,
  },
  {
    name: 'references',
    layers: {
      base: 'errors and checked numbers',
      block: 'devices, and the filters that join them',
      formats: 'what an image refers to, and the guest data that its own file holds',
      commitment: 'findings on the sizes that a format states twice',
      host: 'opens referenced files under the policy',
      wire: 'the names of formats, and findings',
    },
    node: nothing,
    packages: nothing,
  },
  {
    name: 'sandbox',
    layers: {
      base: 'errors and checked numbers',
      block: 'devices and budgets over files',
      formats: 'the trust boundary: the only place below create where parsers meet strange bytes',
      commitment: 'figures are computed where the census was taken',
      host: 'the one who opens the files',
      confined: 'sessions with a confined process, and the loop that answers inside of it',
      references: 'the files that an image refers to, under one policy',
      wire: 'what crosses the boundary',
    },
    node: { 'node:crypto': 'the hash of what was judged', 'node:os': 'the processors, for the number of workers' },
    packages: nothing,
  },
  {
    name: 'pool',
    layers: {
      base: 'errors and units',
      block: `${TYPES_ONLY}storage ranges, to count what files share`,
      wire: 'reports',
      host: 'filesystems, mounts and the walk',
      sandbox: 'strange bytes are read behind it or not at all',
    },
    node: { 'node:path': 'names of directories' },
    packages: { libsql: { file: 'state/connection.ts', reason: 'the embedded database of reservations and history' } },
  },
  {
    name: 'create',
    layers: {
      base: 'errors, sizes, numbers',
      block: 'a backing file is a device; by what rules a filesystem gives storage',
      formats: "a writer, not a reader: the layout of a new image is the format's own",
      commitment: 'the figures that an image would have',
      host: 'allocation and files that get their name when they are whole',
      references: 'the guest data of a source, and the backing file of an overlay',
      wire: 'reports',
    },
    node: {
      'node:fs/promises': 'opening what is written',
      'node:path': 'names of backing files',
    },
    packages: nothing,
  },
  {
    name: 'service',
    layers: {
      base: 'errors and units',
      block: `${TYPES_ONLY}the rules by which a filesystem allocates storage`,
      wire: 'requests, answers and events',
      host: 'filesystems, and the id of the host',
      sandbox: 'the bound on the memory of examinations, and on extent maps',
      pool: 'scans, decisions and stored state',
      create: 'the commitment of an image to be created',
    },
    node: {
      'node:crypto': 'ids of images that an address can carry',
      'node:fs/promises': 'whether a path is a directory',
      'node:os': 'the time of the boot',
      'node:path': 'names of directories',
    },
    packages: nothing,
  },
  {
    name: 'server',
    layers: {
      base: 'errors; names of strangers are escaped',
      wire: 'what is said, and its definitions',
      service: `${TYPES_ONLY}the StoreService that it answers from`,
    },
    node: {
      'node:crypto': 'tokens are compared in constant time',
      'node:fs': 'whether the dashboard was built',
      'node:fs/promises': 'the token file, and the socket as a file',
      'node:http': 'the listeners',
      'node:net': 'whether a process answers on an existing socket',
      'node:path': 'names of the dashboard and of the socket',
      'node:stream': 'metrics go out piece by piece',
    },
    packages: {
      fastify: { file: '*', reason: 'routes, bodies, timeouts' },
      '@fastify/static': { file: 'dashboard.ts', reason: 'the files of the dashboard' },
      '@fastify/swagger': { file: 'openapi.ts', reason: 'the OpenAPI document, made of the routes' },
      typebox: { file: '*', reason: 'the schemas' },
      'typebox/compile': { file: 'validation.ts', reason: 'requests are judged by the schemas' },
      pino: { file: 'log.ts', reason: 'the log' },
    },
  },
  {
    name: 'client',
    layers: {
      base: 'errors',
      wire: 'requests and answers',
      host: 'whether the listener of the socket is trusted',
    },
    node: {
      'node:fs': 'whether a socket exists',
      'node:http': 'requests over the socket',
      'node:net': 'the connection, whose listener is judged before anything is sent',
      'node:path': 'the place of the socket',
    },
    packages: nothing,
  },
  {
    name: 'cli',
    layers: {
      base: 'errors and units',
      wire: 'reports and exit codes',
      host: 'what the terminal command asks of the machine',
      sandbox: 'the figures of an image',
      pool: 'stores',
      service: 'the running daemon, and admission by a scan',
      create: 'new images',
      client: 'the running daemon',
      server: 'what serve starts',
    },
    node: {
      'node:crypto': 'a name for what is reserved while an image is made',
      'node:events': 'waiting for the signal that ends the daemon',
      'node:fs': 'constants and standard streams',
      'node:fs/promises': 'the demonstration store, the configuration',
      'node:timers/promises': 'how long the start waits for the first scan',
      'node:module': 'the compile cache',
      'node:os': 'the temporary directory, signals',
      'node:path': 'names',
      'node:v8': 'how much the heap of the daemon may grow',
    },
    packages: {
      commander: { file: '*', reason: 'the command line' },
      'smol-toml': { file: 'config/read.ts', reason: 'the configuration file' },
      'string-width': { file: '*', reason: 'columns of a terminal' },
    },
  },
  {
    name: 'web',
    layers: {
      base: 'sizes for people, and as people type them; names of strangers made harmless',
      wire: 'what the daemon says, and what its words mean',
    },
    node: nothing,
    packages: {
      preact: { file: '*', reason: 'what is on the page follows from what is known' },
      'preact/hooks': { file: '*', reason: 'a component that holds a chart, a timer or what was typed' },
      '@preact/signals': { file: '*', reason: 'one event changes one hull, not the page' },
      uplot: { file: 'parts/chart.tsx', reason: 'charts of time series, small, and content with a strict content security policy' },
    },
  },
  {
    // src/index.ts, the library.
    name: 'index.ts',
    layers: {
      base: 'the error class',
      block: `${TYPES_ONLY}extents`,
      wire: 'reports',
      sandbox: 'figures()',
      pool: 'scan()',
      create: 'create() and measure()',
      client: 'DaemonClient',
    },
    node: nothing,
    packages: nothing,
  },
];

/** Who may import a parser. Everything else meets strange bytes through the sandbox. */
export const MAY_IMPORT_FORMATS: readonly string[] = ['commitment', 'references', 'sandbox', 'create'];
