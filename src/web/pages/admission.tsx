/** The admission form: checks whether an image fits, shows the calculation, and reserves the space. */
import { escapeForTerminal, formatBytes } from '#base';
import type { JSX } from 'preact';
import { useState } from 'preact/hooks';
import type { AdmissionDecision, AdmissionRequest } from '#wire';
import { send } from '../data/api.ts';
import { stores } from '../data/state.ts';
import { type AdmissionFields, parseAdmission, parseReservation, type ReservationFields, type Wrong } from '../view/admission-form.ts';
import { formatMoment } from '../view/durations.ts';
import { focusFirstWrong, SelectField, TextField } from '../parts/field.tsx';
import { Link } from '../parts/link.tsx';
import { SumTable } from '../parts/sum-table.tsx';
import { Heading } from '../parts/heading.tsx';
import { Ago, Badge, Bytes, Empty, Name, Problem } from '../parts/text.tsx';

interface Checked {
  readonly request: AdmissionRequest;
  readonly decision: AdmissionDecision;
}

export function AdmissionPage({ store }: { readonly store: string }): JSX.Element {
  const [checked, setChecked] = useState<Checked | undefined>(undefined);
  return (
    <>
      <Heading>Check whether an image fits</Heading>
      <p>A dry run: nothing is created or reserved. The result shows its calculation.</p>
      {stores.value.length === 0 ? (
        <Empty>No store is monitored.</Empty>
      ) : (
        <div class="columns">
          <CheckForm store={store} onAnswer={setChecked} />
          <div aria-live="polite" class="answer">
            {checked === undefined ? null : <Decision decision={checked.decision} />}
          </div>
          {checked === undefined ? null : <ReserveForm checked={checked} key={JSON.stringify(checked.request)} />}
        </div>
      )}
    </>
  );
}

function CheckForm({ store, onAnswer }: { readonly store: string; readonly onAnswer: (checked: Checked) => void }): JSX.Element {
  const present = stores.value.filter(({ presence }) => presence === 'present');
  const [fields, setFields] = useState<AdmissionFields>({ store, format: 'qcow2', size: '', options: '', policy: '', idleShare: '20' });
  const [wrong, setWrong] = useState<Wrong<AdmissionFields>>({});
  const [problem, setProblem] = useState<Error | undefined>(undefined);
  const [isChecking, setChecking] = useState(false);
  const set = (name: keyof AdmissionFields) => (value: string) => setFields((before) => ({ ...before, [name]: value }));

  const ask = async (form: HTMLFormElement): Promise<void> => {
    const parsed = parseAdmission(fields);
    setWrong('wrong' in parsed ? parsed.wrong : {});
    setProblem(undefined);
    if ('wrong' in parsed) {
      focusFirstWrong(form);
      return;
    }
    setChecking(true);
    try {
      onAnswer({ request: parsed.request, decision: await send<AdmissionDecision>('POST', 'admission/check', parsed.request) });
    } catch (error) {
      setProblem(error as Error);
    } finally {
      setChecking(false);
    }
  };

  return (
    <form
      class="panel"
      noValidate
      aria-label="Admission"
      onSubmit={(event) => {
        event.preventDefault();
        void ask(event.currentTarget);
      }}
    >
      <SelectField
        label="Store"
        value={fields.store}
        onChange={set('store')}
        wrong={wrong.store}
        options={[['', 'choose one'], ...present.map((one) => [one.id, escapeForTerminal(one.mount)] as const)]}
      />
      <SelectField
        label="Format"
        value={fields.format}
        onChange={set('format')}
        options={[
          ['qcow2', 'qcow2'],
          ['raw', 'raw'],
        ]}
      />
      <TextField
        label="Capacity"
        value={fields.size}
        onChange={set('size')}
        wrong={wrong.size}
        hint="Size of the disk as the guest sees it: 40G, 512M, 1.5T"
      />
      <TextField label="Options" value={fields.options} onChange={set('options')} hint="As for qemu-img create -o (optional)" />
      <SelectField
        label="Policy"
        value={fields.policy}
        onChange={set('policy')}
        options={[
          ['', 'the policy of the store'],
          ['promise', 'promise: every future write fits'],
          ['growth', 'growth: the expected growth until an administrator can react fits'],
          ['entitled', 'entitled: a share of the residual fits'],
        ]}
      />
      {fields.policy === 'entitled' ? (
        <TextField label="Share of the residual, percent" value={fields.idleShare} onChange={set('idleShare')} wrong={wrong.idleShare} />
      ) : null}
      {problem === undefined ? null : <Problem error={problem} />}
      <button type="submit" class="primary" disabled={isChecking}>
        Check
      </button>
    </form>
  );
}

function Decision({ decision }: { readonly decision: AdmissionDecision }): JSX.Element {
  const { tone, word } = VERDICTS[String(decision.admitted)] ?? UNKNOWN;
  return (
    <section class={`panel decision ${tone}`} aria-labelledby="decision">
      <h2 id="decision">
        <Badge tone={tone} word={word} />
      </h2>
      <p class="verdict">{escapeForTerminal(decision.message)}</p>
      <p>
        It would commit <Bytes bytes={decision.bytes} />. The store was last scanned <Ago at={decision.scannedAt} />.
      </p>
      <SumTable sum={decision.sum} caption="Capacity calculation with the request" />
    </section>
  );
}

const UNKNOWN = { tone: 'unknown', word: 'Unknown' } as const;
const VERDICTS: Readonly<Record<string, { readonly tone: 'ok' | 'danger' | 'unknown'; readonly word: string }>> = {
  true: { tone: 'ok', word: 'Yes, it fits' },
  false: { tone: 'danger', word: 'No, it does not fit' },
  null: UNKNOWN,
};

function ReserveForm({ checked }: { readonly checked: Checked }): JSX.Element {
  const [fields, setFields] = useState<ReservationFields>({ key: '', ttl: '15m', path: '', overcommit: false });
  const [wrong, setWrong] = useState<Wrong<ReservationFields>>({});
  const [problem, setProblem] = useState<Error | undefined>(undefined);
  const [result, setResult] = useState<AdmissionDecision | undefined>(undefined);
  const set = (name: 'key' | 'ttl' | 'path') => (value: string) => setFields((before) => ({ ...before, [name]: value }));

  const hold = async (form: HTMLFormElement): Promise<void> => {
    const parsed = parseReservation(checked.request, fields);
    setWrong('wrong' in parsed ? parsed.wrong : {});
    setProblem(undefined);
    if ('wrong' in parsed) {
      focusFirstWrong(form);
      return;
    }
    try {
      setResult(await send<AdmissionDecision>('POST', 'admission/reserve', parsed.request));
    } catch (error) {
      setProblem(error as Error);
    }
  };

  return (
    <form
      class="panel"
      noValidate
      aria-labelledby="reserve"
      onSubmit={(event) => {
        event.preventDefault();
        void hold(event.currentTarget);
      }}
    >
      <h2 id="reserve">Reserve {formatBytes(checked.decision.bytes)}</h2>
      <TextField
        label="Key"
        value={fields.key}
        onChange={set('key')}
        wrong={wrong.key}
        hint="Idempotency key: repeating a request with the same key reserves once"
      />
      <TextField label="Lifetime" value={fields.ttl} onChange={set('ttl')} wrong={wrong.ttl} hint="15m, 2h, 1d" />
      <TextField
        label="Path of the image"
        value={fields.path}
        onChange={set('path')}
        wrong={wrong.path}
        hint="When it appears there, the reservation is fulfilled; may be empty"
      />
      {checked.decision.admitted === true ? null : (
        <label class="check">
          <input
            type="checkbox"
            checked={fields.overcommit}
            onChange={(event) => {
              const overcommit = event.currentTarget.checked;
              setFields((before) => ({ ...before, overcommit }));
            }}
          />
          Reserve even though the fit is unknown
        </label>
      )}
      {problem === undefined ? null : <Problem error={problem} />}
      <button type="submit">Reserve</button>
      <div aria-live="polite">{result === undefined ? null : <Held result={result} />}</div>
    </form>
  );
}

function Held({ result }: { readonly result: AdmissionDecision }): JSX.Element {
  const { reservation } = result;
  if (reservation === null) return <p class="problem">Not reserved: {escapeForTerminal(result.message)}</p>;
  return (
    <p class="done">
      Reserved: <Bytes bytes={reservation.bytes} /> under the key <Name name={reservation.key} />, until{' '}
      {formatMoment(Date.parse(reservation.expiresAt), Date.now())}. <Link to={{ page: 'reservations' }}>All reservations</Link>
    </p>
  );
}
