/** The dashboard: connects to the server and renders the page of the current address. */
import { type JSX, render } from 'preact';
import { stayConnected } from './data/live.ts';
import { followBrowser, route } from './data/state.ts';
import { Frame } from './frame.tsx';
import { AdmissionPage } from './pages/admission.tsx';
import { AlertsPage } from './pages/alerts.tsx';
import { FindPage } from './pages/find.tsx';
import { ImagePage } from './pages/image.tsx';
import { ImagesPage } from './pages/images.tsx';
import { ReservationsPage } from './pages/reservations.tsx';
import { StorePage } from './pages/store.tsx';
import { StoresPage } from './pages/stores.tsx';
import { Link } from './parts/link.tsx';
import { Heading } from './parts/heading.tsx';
import { applyTheme } from './theme.ts';

function Page(): JSX.Element {
  const { value } = route;
  switch (value.page) {
    case 'stores':
      return <StoresPage />;
    case 'store':
      return <StorePage id={value.id} key={value.id} />;
    case 'images':
      return <ImagesPage search={value.search} key={value.search} />;
    case 'image':
      return <ImagePage id={value.id} key={value.id} />;
    case 'find':
      return <FindPage store={value.store} path={value.path} key={value.path} />;
    case 'admission':
      return <AdmissionPage store={value.store} key={value.store} />;
    case 'reservations':
      return <ReservationsPage />;
    case 'alerts':
      return <AlertsPage />;
    case 'nowhere':
      return <Nowhere />;
  }
}

function Nowhere(): JSX.Element {
  return (
    <>
      <Heading>Page not found</Heading>
      <p>
        <Link to={{ page: 'stores' }}>All stores</Link>
      </p>
    </>
  );
}

applyTheme();
followBrowser();
void stayConnected();
const place = document.getElementById('app');
if (place !== null) {
  render(
    <Frame>
      <Page />
    </Frame>,
    place,
  );
}
