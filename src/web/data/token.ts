/**
 * The access token. `plimsoll serve` prints an address that ends with `#token=...`: the token is read from it once, kept
 * until the tab is closed, and removed from the address, so that neither history nor screen shows it.
 */
const TOKEN_KEY = 'plimsoll-token';
const IN_ADDRESS = /^#token=([\x21-\x7e]+)$/;

export function keepToken(token: string): void {
  sessionStorage.setItem(TOKEN_KEY, token);
}

export function keptToken(): string | null {
  return sessionStorage.getItem(TOKEN_KEY);
}

/** Whether the address contained a token, which is now stored; the rest of the address is the first page. */
export function takeTokenFromAddress(): boolean {
  const token = IN_ADDRESS.exec(location.hash)?.[1];
  if (token === undefined) return false;
  keepToken(decoded(token));
  history.replaceState(null, '', location.pathname + location.search);
  return true;
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

// Before any other module reads the address.
takeTokenFromAddress();
