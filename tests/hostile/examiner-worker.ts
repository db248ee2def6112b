/** A worker whose parser misbehaves as the names of its images request: for confined-examiner.test.ts, never shipped. */
import koffi from 'koffi';
import { type Handler, serve } from '#confined';
import { HANDLERS } from '#sandbox';
import { examineHandler, type ExamineAnswer, type ExamineParams } from '../../src/sandbox/examine-handler.ts';

type Report = ExamineAnswer['report'];

const FORGERIES: Readonly<Record<string, (report: Report) => unknown>> = {
  shape: () => null,
  number: (report) => ({ ...report, commitment: -1 }),
  reference: (report) => ({
    ...report,
    chain: [
      {
        role: 'backing',
        depth: 1,
        name: 'x',
        path: '/etc/shadow',
        declaredFormat: 'raw',
        format: 'raw',
        status: 'opened',
        capacity: 0,
        length: 0,
        allocation: 0,
        file: '1:1',
      },
    ],
  }),
  facts: (report) => ({ ...report, path: '/etc/shadow', length: 1, allocation: 1, openForWriting: true }),
};

const examine: Handler = async (params, context) => {
  const { image } = params as ExamineParams;
  const [deed = ''] = (image.shownPath.split('/').at(-1) ?? '').split('-');
  if (deed === 'crash') koffi.decode(8n, 'int');
  if (deed === 'exit') process.exit(0);
  const answer = await examineHandler(params, context);
  const forge = Object.hasOwn(FORGERIES, deed) ? FORGERIES[deed] : undefined;
  return forge === undefined ? answer : { ...answer, report: forge(answer.report) };
};

await serve(new Map<string, Handler>([...HANDLERS, ['examine', examine]]));
