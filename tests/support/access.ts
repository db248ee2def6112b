/** The tokens of servers that tests have started, by origin: requests and pages of tests carry them unless they bring their own. */
const tokens = new Map<string, string>();

/** `url`: any address of the server. */
export function grantAccess(url: string, token: string): void {
  tokens.set(new URL(url).origin, token);
}

export function tokenOf(url: string): string | undefined {
  return tokens.get(new URL(url).origin);
}
