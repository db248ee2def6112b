/** The drawing of a store: a hull in cross-section, with the waterline of its policy and its load line. */
import { formatBytes } from '#base';
import type { JSX } from 'preact';
import { useId } from 'preact/hooks';
import type { StoreView } from '#wire';
import { amounts, type Cargo, heightOf, type Hull, hullOf, type Layer } from '../view/hull.ts';
import { verdictOf } from '../view/verdict.ts';
import { Bytes, Term } from './text.tsx';
import type { Word } from '../view/words.ts';

const WIDTH = 400;
const HEIGHT = 190;
const TOP = 12;
const KEEL = 176;
/** Stern and bow at the keel. */
const STERN = 44;
const BOW = 330;
/** Overhang of the bow beyond the keel, and height of the plates above the deck. */
const RAKE = 38;
const BILGE = 22;
const BULWARK = 8;
const MARK_X = 187;
/** Minimum thickness of a layer, so that it stays visible. */
const MIN_THICKNESS = 4;

export function HullDrawing({ store }: { readonly store: StoreView }): JSX.Element {
  const hull = hullOf(store);
  const id = useId();
  const y = (bytes: number): number => heightOf(hull, bytes, TOP, KEEL);
  const isOver = hull.freeboard !== null && hull.freeboard < 0;
  return (
    <svg class={`hull${isOver ? ' over' : ''}`} viewBox={`0 0 ${WIDTH} ${HEIGHT}`} role="img" aria-labelledby={`${id}-title`}>
      <title id={`${id}-title`}>{describeHull(store, hull)}</title>
      <Patterns id={id} />
      {hull.waterline === null ? null : <Sea y={y(hull.waterline)} />}
      <clipPath id={`${id}-inside`}>
        <path d={`${shell(y(hull.deck))}V0H${STERN}Z`} />
      </clipPath>
      <path class="hold" d={`${shell(y(hull.deck))}Z`} />
      <g clip-path={`url(#${id}-inside)`}>
        {stacked(hull.layers, y).map((place) => (
          <CargoLayer key={place.cargo} place={place} id={id} />
        ))}
        {hull.waterline === null || !isOver ? null : (
          <rect
            class="excess"
            x={STERN}
            width={BOW + RAKE - STERN}
            y={y(hull.waterline)}
            height={y(hull.loadLine) - y(hull.waterline)}
            fill={`url(#${id}-excess)`}
          />
        )}
      </g>
      <path class="shell" d={shell(Math.max(2, y(hull.deck) - BULWARK))} />
      {hull.isCut ? <path class="cut" d={`M${STERN - 8} ${TOP + 4}l12 -6l12 6l12 -6l12 6`} /> : null}
      {hull.waterline === null || isOver ? null : <Freeboard from={y(hull.waterline)} to={y(hull.loadLine)} />}
      <LoadLine y={y(hull.loadLine)} />
    </svg>
  );
}

/** The plates from the top of the stern down, along the keel, and up the raked bow. */
function shell(topY: number): string {
  const sternward = `M${STERN} ${topY}V${KEEL - BILGE}Q${STERN} ${KEEL} ${STERN + BILGE} ${KEEL}H${BOW - BILGE}`;
  return `${sternward}Q${BOW} ${KEEL} ${BOW + RAKE * 0.35} ${(KEEL * 2 + topY) / 3}L${BOW + RAKE} ${topY}`;
}

interface Place {
  readonly cargo: Cargo;
  readonly top: number;
  readonly bottom: number;
}

/** Each layer on the one below it, none so thin that the next would cover it. */
function stacked(layers: readonly Layer[], y: (bytes: number) => number): Place[] {
  const places: Place[] = [];
  for (const { cargo, from, to } of layers) {
    const bottom = Math.min(y(from), places.at(-1)?.top ?? KEEL);
    places.push({ cargo, bottom, top: Math.min(y(to), bottom - MIN_THICKNESS) });
  }
  return places;
}

function CargoLayer({ place: { cargo, top, bottom }, id }: { readonly place: Place; readonly id: string }): JSX.Element {
  const place = { x: STERN, width: BOW + RAKE - STERN, y: top, height: bottom - top };
  const hatching = cargo === 'residual' || cargo === 'reserved' || cargo === 'kept' ? cargo : null;
  return (
    <g>
      <rect class={`cargo ${cargo}`} {...place} />
      {hatching === null ? null : <rect {...place} fill={`url(#${id}-${hatching})`} />}
    </g>
  );
}

function Patterns({ id }: { readonly id: string }): JSX.Element {
  return (
    <defs>
      <pattern id={`${id}-residual`} width="7" height="7" patternUnits="userSpaceOnUse" patternTransform="rotate(45)">
        <path class="hatch residual" d="M0 0V7" />
      </pattern>
      <pattern id={`${id}-reserved`} width="6" height="6" patternUnits="userSpaceOnUse">
        <circle class="dot reserved" cx="3" cy="3" r="1.3" />
      </pattern>
      <pattern id={`${id}-kept`} width="6" height="6" patternUnits="userSpaceOnUse">
        <path class="hatch kept" d="M0 0H6" />
      </pattern>
      <pattern id={`${id}-excess`} width="6" height="6" patternUnits="userSpaceOnUse" patternTransform="rotate(-45)">
        <path class="hatch excess" d="M0 0V6" />
      </pattern>
    </defs>
  );
}

function Sea({ y }: { readonly y: number }): JSX.Element {
  const wave = Array.from({ length: 20 }, () => 'q5 -3.5 10 0t10 0').join('');
  return (
    <g class="sea">
      <path class="water" d={`M0 ${y}${wave}V${HEIGHT}H0Z`} />
      <path class="surface" d={`M0 ${y}${wave}`} />
    </g>
  );
}

/** Plimsoll's mark amidships, a ring with a line through it, continued along the hull. */
function LoadLine({ y }: { readonly y: number }): JSX.Element {
  return (
    <g class="load-line">
      <path class="mark" d={`M${STERN - 8} ${y}H${BOW + RAKE + 8}`} />
      <circle class="halo" cx={MARK_X} cy={y} r="10" />
      <path class="halo" d={`M${MARK_X - 18} ${y}h36`} />
      <circle class="mark" cx={MARK_X} cy={y} r="10" />
      <path class="mark" d={`M${MARK_X - 18} ${y}h36`} />
    </g>
  );
}

/** The distance between waterline and load line, as a dimension beside the hull. */
function Freeboard({ from, to }: { readonly from: number; readonly to: number }): JSX.Element | null {
  if (from - to < 6) return null;
  const x = STERN - 22;
  return <path class="freeboard" d={`M${x - 6} ${to}h12M${x - 6} ${from}h12M${x} ${from}V${to}`} />;
}

function describeHull(store: StoreView, hull: Hull): string {
  const stowed = amounts(store)
    .filter(([, bytes]) => bytes > 0)
    .map(([cargo, bytes]) => `${LABELS[cargo]} ${formatBytes(bytes)}`);
  return `Hull of ${formatBytes(store.size)}: ${stowed.join(', ')}; load line at ${formatBytes(hull.loadLine)}. ${verdictOf(store).sentence}`;
}

const LABELS: Readonly<Record<Cargo, Word>> = {
  others: 'others',
  kept: 'kept',
  images: 'images',
  residual: 'residual',
  reserved: 'reserved',
};

/** The figures of the hull, from the deck down in drawing order, each with its pattern. */
export function HullLegend({ store }: { readonly store: StoreView }): JSX.Element {
  const cargo = [...amounts(store)].reverse().filter(([kind, bytes]) => bytes > 0 || (kind !== 'kept' && kind !== 'others'));
  return (
    <dl class="legend">
      {store.rules.policy === 'promise' ? null : <Row word="remaining" bytes={store.sum.remaining} mark="free" isStrong />}
      {store.rules.policy === 'promise' ? (
        <Row word="headroom" bytes={store.headroom} mark="free" isStrong />
      ) : (
        <Row word="headroom" bytes={store.headroom} mark="none" note="under the policy promise" />
      )}
      <Row word="size" bytes={store.size} mark="deck" />
      <Row word="floor" bytes={store.floor} mark="line" />
      {cargo.map(([kind, bytes]) => (
        <Row key={kind} word={LABELS[kind]} bytes={kind === 'residual' ? store.residual : bytes} mark={kind} />
      ))}
    </dl>
  );
}

interface RowParts {
  readonly word: Word;
  readonly bytes: number | null;
  readonly mark: string;
  /** The figure that decides. */
  readonly isStrong?: boolean;
  /** The rule for a figure that does not decide here: it is then shown without alarm. */
  readonly note?: string;
}

function Row(row: RowParts): JSX.Element {
  return (
    <div class={row.isStrong === true ? 'strong' : row.note === undefined ? undefined : 'second'}>
      <dt>
        <span class={`swatch ${row.mark}`} aria-hidden="true" />
        <Term word={row.word} />
        {row.note === undefined ? null : <small> {row.note}</small>}
      </dt>
      <dd>
        <Bytes bytes={row.bytes} />
      </dd>
    </div>
  );
}
