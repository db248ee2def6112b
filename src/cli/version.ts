/** The version, set by the build; from source there is none. */
declare const PLIMSOLL_VERSION: string | undefined;

export const VERSION: string = typeof PLIMSOLL_VERSION === 'string' ? PLIMSOLL_VERSION : '0.0.0-source';
