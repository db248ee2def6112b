/** Parses the page from the address: everything after the `#`, so that links work without routes on the server. */

export type Route =
  | { readonly page: 'stores' }
  | { readonly page: 'store'; readonly id: string }
  | { readonly page: 'images'; readonly search: string }
  | { readonly page: 'image'; readonly id: string }
  | { readonly page: 'find'; readonly store: string; readonly path: string }
  | { readonly page: 'admission'; readonly store: string }
  | { readonly page: 'reservations' }
  | { readonly page: 'alerts' }
  | { readonly page: 'nowhere' };

export function hrefOf(route: Route): string {
  switch (route.page) {
    case 'stores':
      return '#/';
    case 'store':
      return `#/store/${encode(route.id)}`;
    case 'image':
      return `#/image/${encode(route.id)}`;
    case 'find':
      return `#/find/${encode(route.store)}/${encode(route.path)}`;
    case 'images':
      return route.search === '' ? '#/images' : `#/images/${encode(route.search)}`;
    case 'admission':
      return route.store === '' ? '#/admission' : `#/admission/${encode(route.store)}`;
    case 'reservations':
    case 'alerts':
      return `#/${route.page}`;
    case 'nowhere':
      return '#/';
  }
}

export function routeOf(hash: string): Route {
  const [page = '', first = '', second = ''] = hash
    .replace(/^#?\/?/, '')
    .split('/')
    .map(decode);
  if (page === '') return { page: 'stores' };
  if (page === 'store' && first !== '') return { page, id: first };
  if (page === 'image' && first !== '') return { page, id: first };
  if (page === 'find' && second !== '') return { page, store: first, path: second };
  if (page === 'images') return { page, search: first };
  if (page === 'admission') return { page, store: first };
  if (page === 'reservations' || page === 'alerts') return { page };
  return { page: 'nowhere' };
}

/** Lone surrogates, which encodeURIComponent() would refuse, become U+FFFD. */
function encode(text: string): string {
  return encodeURIComponent(text.replace(/[\ud800-\udbff](?![\udc00-\udfff])|(?<![\ud800-\udbff])[\udc00-\udfff]/g, '\ufffd'));
}

function decode(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}
