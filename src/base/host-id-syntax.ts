/** A configured host id: fits store ids, addresses and labels of metrics. */
export const HOST_ID_PATTERN = /^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/;
export const HOST_ID_SYNTAX = '1 to 64 letters, digits, dots, hyphens and underscores, beginning with a letter or digit';
