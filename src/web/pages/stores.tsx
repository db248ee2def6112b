/** The first page: every store as a hull, the worst first, and the images of highest risk. */
import type { JSX } from 'preact';
import type { StoreView } from '#wire';
import { alerts, isInformed, nowMs, scans, stores } from '../data/state.ts';
import { asClause, describeOutlook, plural } from '../view/durations.ts';
import { headline, verdictOf } from '../view/verdict.ts';
import { AlertList } from '../parts/alerts.tsx';
import { HullDrawing, HullLegend } from '../parts/hull.tsx';
import { ImageTable } from '../parts/image-table.tsx';
import { Link } from '../parts/link.tsx';
import { Heading } from '../parts/heading.tsx';
import { Ago, Badge, Empty, Name } from '../parts/text.tsx';

const WORST_IMAGES = 8;

export function StoresPage(): JSX.Element {
  if (!isInformed.value) return <Empty>Loading stores…</Empty>;
  return (
    <>
      <Heading>{headline(stores.value)}</Heading>
      {alerts.value.length === 0 ? null : (
        <section aria-label="Alerts">
          <AlertList alerts={alerts.value} />
          <p>
            <Link to={{ page: 'alerts' }}>Moves that make it fit again</Link>
          </p>
        </section>
      )}
      {stores.value.length === 0 ? (
        <Empty>
          The daemon monitors no directory. Add one: <code>plimsoll serve /srv/vm</code>.
        </Empty>
      ) : (
        <>
          <section aria-label="Stores" class={stores.value.length === 1 ? 'fleet single' : 'fleet'}>
            {stores.value.map((store) => (
              <StoreCard key={store.id} store={store} />
            ))}
          </section>
          <section aria-labelledby="worst">
            <h2 id="worst">Images, highest risk first</h2>
            <ImageTable
              store=""
              limit={WORST_IMAGES}
              caption={`At most ${WORST_IMAGES}: first to fill up, then largest residual`}
              isShort
            />
            <p>
              <Link to={{ page: 'images', search: '' }}>All images</Link>
            </p>
          </section>
        </>
      )}
    </>
  );
}

function StoreCard({ store }: { readonly store: StoreView }): JSX.Element {
  const verdict = verdictOf(store);
  const { toFloor } = store.forecast;
  return (
    <article class={`store ${verdict.tone} ${store.presence}`} aria-label={store.mount}>
      <header>
        <h2>
          <Link to={{ page: 'store', id: store.id }}>
            <Name name={store.mount} />
          </Link>
        </h2>
        <Badge tone={verdict.tone} word={verdict.word} />
      </header>
      <p class="verdict">{verdict.sentence}</p>
      <div class="anatomy">
        <HullDrawing store={store} />
        <HullLegend store={store} />
      </div>
      <footer>
        <span class="outlook">
          Space runs out: <strong>{describeOutlook(toFloor)}</strong>
          {toFloor.outcome === 'unknown' && toFloor.reason !== null ? <small>{asClause(toFloor.reason)}</small> : null}
        </span>
        <span>
          {store.type}, {plural(store.imageCount, 'image')}
          {store.unreadableCount === 0 ? null : `, ${store.unreadableCount} unreadable`}
        </span>
        <ScanAge store={store} />
        <Directories directories={store.directories} />
      </footer>
    </article>
  );
}

const MAX_DIRECTORIES = 3;

/** The location of a store's images: the mount point `/` alone would carry little information. */
function Directories({ directories }: { readonly directories: readonly string[] }): JSX.Element {
  const more = directories.length - MAX_DIRECTORIES;
  return (
    <span class="directories">
      {directories.slice(0, MAX_DIRECTORIES).map((directory) => (
        <Name key={directory} name={directory} />
      ))}
      {more > 0 ? `and ${more} more` : null}
    </span>
  );
}

/** Scans start every few seconds, and most finish at once: only long ones are shown. */
const LONG_SCAN_MS = 60_000;

export function ScanAge({ store }: { readonly store: StoreView }): JSX.Element {
  const scan = scans.value.get(store.id) ?? scans.value.get(null);
  const isOld = store.scannedAt === null || nowMs.value - Date.parse(store.scannedAt) > LONG_SCAN_MS;
  if (scan?.ended === false && isOld) return <span>scanning: {plural(scan.filesSeen, 'file')} seen</span>;
  if (store.scannedAt === null) return <span>first scan not finished</span>;
  return (
    <span>
      scanned <Ago at={store.scannedAt} />
    </span>
  );
}
