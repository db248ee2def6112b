/** The host of made-up reports. */
export const A_HOST = { id: 'f00dcafef00d4afe8f00dcafef00dcaf', source: 'machine-id', unknown: null } as const;
