/** One image: its figures, the components of its commitment, its chain and its history. */
import { escapeForTerminal, formatExact } from '#base';
import type { JSX } from 'preact';
import type { ImageView } from '#wire';
import { useResource } from '../data/resource.ts';
import { changedImages, imagesEpoch } from '../data/state.ts';
import { asClause, describeGrowth, describeOutlook } from '../view/durations.ts';
import { splitPath } from '../view/names.ts';
import { treeOf, type TreeNode } from '../view/tree.ts';
import type { Word } from '../view/words.ts';
import { Findings } from '../parts/findings.tsx';
import { ImageTrend } from '../parts/image-trend.tsx';
import { Link, StoreLink } from '../parts/link.tsx';
import { Heading } from '../parts/heading.tsx';
import { Badge, Bytes, Empty, Name, Path, Problem, Term } from '../parts/text.tsx';

export function ImagePage({ id }: { readonly id: string }): JSX.Element {
  const { value, error } = useResource<ImageView>(`images/${encodeURIComponent(id)}`, imagesEpoch.value);
  const image = changedImages.value.get(id) ?? value;
  if (image !== undefined) return <KnownImage image={image} />;
  return (
    <>
      <Heading>Image</Heading>
      {error === undefined ? <Empty>Loading the image…</Empty> : <Problem error={error} />}
    </>
  );
}

function KnownImage({ image }: { readonly image: ImageView }): JSX.Element {
  const { folder, name } = splitPath(image.path);
  return (
    <>
      <p class="above">
        <StoreLink id={image.store} />
      </p>
      <header class="title">
        <Heading>
          <Name name={name} />
        </Heading>
        {image.error === undefined ? null : <Badge tone="danger" word="unreadable" />}
      </header>
      <p class="facts">
        <span>
          in <Name name={folder} />
        </span>
        <span>{image.format ?? 'unknown format'}</span>
        <span>{image.machine === null ? 'no VM observed using it' : <>of VM {<Name name={image.machine} />}</>}</span>
        <span>{OPEN[String(image.openForWriting)]}</span>
      </p>
      {image.error === undefined ? null : <p class="problem">{escapeForTerminal(image.error.message)}</p>}
      <Findings findings={image.findings} />
      <div class="columns">
        <Figures image={image} />
        <Components image={image} />
        <Tree image={image} />
      </div>
      <ImageTrend image={image} key={image.id} />
      <Details image={image} />
    </>
  );
}

const OPEN: Readonly<Record<string, string>> = {
  true: 'open for writing',
  false: 'not open for writing',
  null: 'unknown whether it is open for writing',
};

function Figures({ image }: { readonly image: ImageView }): JSX.Element {
  const rows: readonly (readonly [Word, number | null])[] = [
    ['capacity', image.capacity],
    ['length', image.length],
    ['allocation', image.allocation],
    ['commitment', image.commitment],
    ['residual', image.residual],
    ['expected', image.expected],
    ['exclusive', image.exclusive],
    ['shared', image.shared],
    ...(image.nextSnapshot === null ? [] : [['next snapshot', image.nextSnapshot.bytes] as const]),
    ['max length', image.maxLength],
  ];
  const { reason } = image.toCommitment;
  return (
    <section class="panel" aria-labelledby="figures">
      <h2 id="figures">Figures</h2>
      <ExactTable
        caption="Figures of this image"
        first="Figure"
        rows={rows.map(([word, bytes]) => [word, <Term key={word} word={word} />, bytes])}
      />
      <p>
        Growth per day: {describeGrowth(image.growth)}
        {image.growth.unknown === null ? null : ` (${asClause(image.growth.unknown)})`}. Reaches its commitment:{' '}
        {describeOutlook(image.toCommitment)}
        {reason === null || reason === image.growth.unknown ? null : ` (${asClause(reason)})`}.
      </p>
    </section>
  );
}

interface ExactRows {
  readonly caption: string;
  readonly first: string;
  readonly rows: readonly (readonly [string, JSX.Element | string, number | null])[];
  readonly total?: number | null;
}

function ExactTable({ caption, first, rows, total }: ExactRows): JSX.Element {
  return (
    <div class="scrolls" role="region" aria-label={caption} tabIndex={0}>
      <table class="sum exact">
        <caption>{caption}</caption>
        <thead>
          <tr>
            <th scope="col">{first}</th>
            <th scope="col" class="number">
              Size
            </th>
            <th scope="col" class="number">
              Exact bytes
            </th>
          </tr>
        </thead>
        <tbody>
          {rows.map(([key, label, bytes]) => (
            <tr key={key}>
              <th scope="row">{label}</th>
              <ExactCells bytes={bytes} />
            </tr>
          ))}
        </tbody>
        {total === undefined ? null : (
          <tfoot>
            <tr>
              <th scope="row">
                <Term word="commitment" />
              </th>
              <ExactCells bytes={total} />
            </tr>
          </tfoot>
        )}
      </table>
    </div>
  );
}

function ExactCells({ bytes }: { readonly bytes: number | null }): JSX.Element {
  return (
    <>
      <td class="number">
        <Bytes bytes={bytes} />
      </td>
      <td class="number">{bytes === null ? '' : formatExact(bytes)}</td>
    </>
  );
}

function Components({ image }: { readonly image: ImageView }): JSX.Element {
  return (
    <section class="panel" aria-labelledby="components">
      <h2 id="components">Components of the commitment</h2>
      {image.components.length === 0 ? (
        <Empty>{image.unbounded.length === 0 ? 'Commitment unknown.' : 'Commitment unbounded.'}</Empty>
      ) : (
        <ExactTable
          caption="Components, which sum to the commitment"
          first="Component"
          rows={image.components.map(({ name, bytes }) => [name, escapeForTerminal(name), bytes])}
          total={image.commitment}
        />
      )}
      {image.unbounded.length === 0 ? null : (
        <ul>
          {image.unbounded.map(({ reason, detail }) => (
            <li key={reason}>
              {escapeForTerminal(reason)}: {escapeForTerminal(detail)}
            </li>
          ))}
        </ul>
      )}
    </section>
  );
}

const ROLES: Readonly<Record<TreeNode['role'], string>> = {
  backing: 'backing file',
  data: 'data file',
  this: 'this image',
  overlay: 'overlay',
};

/** The tree as a list indented by depth: the root first. */
function Tree({ image }: { readonly image: ImageView }): JSX.Element {
  const nodes = treeOf(image);
  return (
    <section class="panel" aria-labelledby="tree">
      <h2 id="tree">Backing tree</h2>
      {nodes.length === 1 ? <Empty>No backing file and no overlays.</Empty> : null}
      <ol class="tree">
        {nodes.map((node, index) => (
          <li key={index} class={`depth-${Math.min(node.depth, 8)} ${node.role}`} aria-current={node.role === 'this' ? 'true' : undefined}>
            {node.isKnown && node.role !== 'this' ? (
              <Link to={{ page: 'find', store: '', path: node.path }}>
                <Path path={node.path} />
              </Link>
            ) : (
              <Path path={node.path} />
            )}
            <small>
              {ROLES[node.role]}
              {node.note === null ? null : `, ${escapeForTerminal(node.note)}`}
            </small>
          </li>
        ))}
      </ol>
      {image.aliases.length === 0 ? null : (
        <p>
          Other names of the same file (hard links):{' '}
          {image.aliases.map((alias) => (
            <Path path={alias} key={alias} />
          ))}
        </p>
      )}
    </section>
  );
}

function Details({ image }: { readonly image: ImageView }): JSX.Element | null {
  const entries = Object.entries(image.details);
  if (entries.length === 0) return null;
  return (
    <details class="panel">
      <summary>Format details</summary>
      <dl class="details">
        {entries.map(([name, value]) => (
          <div key={name}>
            <dt>{escapeForTerminal(name)}</dt>
            <dd>{escapeForTerminal(String(value))}</dd>
          </div>
        ))}
      </dl>
    </details>
  );
}
