/** A capacity calculation, component by component. */
import { escapeForTerminal } from '#base';
import type { JSX } from 'preact';
import type { PolicySum } from '#wire';
import { Bytes, Term } from './text.tsx';

export function SumTable({ sum, caption }: { readonly sum: PolicySum; readonly caption: string }): JSX.Element {
  return (
    <table class="sum">
      <caption>
        {caption} (<Term word={sum.policy} />)
      </caption>
      <thead>
        <tr>
          <th scope="col">Component</th>
          <th scope="col" class="number">
            Bytes
          </th>
        </tr>
      </thead>
      <tbody>
        {sum.components.map((component) => (
          <tr key={component.code}>
            <th scope="row">
              {escapeForTerminal(component.name)}
              {component.explanation === undefined ? null : <small>{escapeForTerminal(component.explanation)}</small>}
            </th>
            <td class="number">
              <Bytes bytes={component.bytes} />
            </td>
          </tr>
        ))}
      </tbody>
      <tfoot>
        <tr class={sum.remaining !== null && sum.remaining < 0 ? 'shortfall' : undefined}>
          <th scope="row">
            {sum.remaining !== null && sum.remaining < 0 ? 'shortfall' : 'remaining'}
            {sum.unknown === null ? null : <small>unknown: {escapeForTerminal(sum.unknown)}</small>}
          </th>
          <td class="number">
            <Bytes bytes={sum.remaining} />
          </td>
        </tr>
      </tfoot>
    </table>
  );
}
