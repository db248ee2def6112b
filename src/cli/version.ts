/** The version, set by the build; undefined when run from source. */
declare const PLIMSOLL_VERSION: string | undefined;

export const VERSION: string = typeof PLIMSOLL_VERSION === 'string' ? PLIMSOLL_VERSION : '0.0.0-source';
