/** The verdict on an untrusted image: `plimsoll.vet/1`. */
import { Type } from 'typebox';
import { ERROR_KINDS } from '#base';
import { Bytes, Count, described, ErrorSchema, nullable, shape } from './common.ts';

const VerdictSchema = Type.Enum(['safe', 'convert', 'header-only', 'unrecognised', 'ambiguous', 'refused']);

const VetUseSchema = Type.Enum(['attach', 'convert', 'refuse']);

// Separate from the message: a test takes the two together for an error that is thrown.
const CODE = { code: Type.String({ description: 'listed in docs/vet.md; or the code of an error, listed in docs/errors.md' }) };

export const VetReasonSchema = shape('VetReason', {
  level: described(
    'The gravest level of all reasons decides the verdict; a note does not count.',
    Type.Enum(['refuse', 'ambiguous', 'header-only', 'unrecognised', 'convert', 'note']),
  ),
  ...CODE,
  message: Type.String(),
  at: described('Byte offset in the file of what the reason speaks of.', Type.Optional(Type.Number({ minimum: 0 }))),
  kind: described('For the code of an error: its kind.', Type.Optional(Type.Enum([...ERROR_KINDS]))),
});

export const VetIdentitySchema = shape('VetIdentity', {
  device: described('Device and inode numbers, as stat tells them; null for a stream.', nullable(Type.Number({ minimum: 0 }))),
  inode: nullable(Type.Number({ minimum: 0 })),
  size: Bytes,
  mtimeNs: described(
    'Last change of the content in nanoseconds since 1970, as text: it does not fit a number. null for a stream.',
    nullable(Type.String()),
  ),
  sha256: described('Hexadecimal; null when it was not asked for. Of a stream it is always there.', nullable(Type.String())),
  method: described(
    'What ties the verdict to the bytes. content: every byte that was judged was compared with what was hashed. stream: judged and hashed as it arrived. stamp: size and times, and no process had the file open for writing at the start. stamp-only: the same, but whether a process can write could not be found out.',
    Type.Enum(['content', 'stream', 'stamp', 'stamp-only']),
  ),
});

export const VetConversionSchema = shape('VetConversion', {
  commands: described('Each command as its words; the second runs only if the first succeeds.', Type.Array(Type.Array(Type.String()))),
  shell: described('The commands as one line for a POSIX shell.', Type.String()),
  target: described('The file that is created. The commands fail if it exists.', Type.String()),
});

export const VetNextSchema = shape('VetNext', {
  qemuImg: described('The words that declare the format to qemu-img and qemu-io.', Type.Array(Type.String())),
  file: described('The name of the file as an argument that no tool takes for an option or a protocol; FILE for a stream.', Type.String()),
  libvirt: described("The driver element of libvirt's disk. null unless the use is attach.", nullable(Type.String())),
  blockdev: described(
    'The options of a QEMU -blockdev, as JSON takes them: no comma or colon in a name has a meaning there. Without the node of the file for a stream, and for a name that is not UTF-8. null unless the use is attach.',
    nullable(
      Type.Record(
        Type.String(),
        nullable(
          Type.Union([
            Type.String(),
            Type.Object({
              driver: Type.Literal('file'),
              filename: Type.String(),
            }),
          ]),
        ),
      ),
    ),
  ),
  convert: described('null unless the use is convert.', nullable(VetConversionSchema)),
});

export const VetReportSchema = shape('VetReport', {
  path: described('The name it was given by; null for a stream.', nullable(Type.String())),
  verdict: VerdictSchema,
  use: described('null where the verdict is ambiguous or header-only: no use can be recommended.', nullable(VetUseSchema)),
  format: described('The format of the image; null when unknown.', nullable(Type.String())),
  declared: nullable(Type.String()),
  examined: described(
    'tables: all that says where data lies was examined. header: only the header was. none: nothing could be.',
    Type.Enum(['tables', 'header', 'none']),
  ),
  capacity: nullable(Bytes),
  length: Bytes,
  ratio: described('capacity / length: how often the image would fill its own length.', nullable(Type.Number({ minimum: 0 }))),
  reasons: Type.Array(VetReasonSchema),
  signs: described(
    "Everything that the file's bytes could be taken for.",
    Type.Array(
      Type.Object({
        name: Type.String(),
        class: Type.String(),
        at: Count,
      }),
    ),
  ),
  details: Type.Record(Type.String(), Type.Union([Type.String(), Count, Type.Boolean()])),
  identity: VetIdentitySchema,
  next: described('null unless the use is attach or convert.', nullable(VetNextSchema)),
});

export const VetDocumentSchema = shape('VetDocument', {
  schema: Type.Literal('plimsoll.vet/1'),
  images: described('One verdict for each image that could be judged, in the order of the command line.', Type.Array(VetReportSchema)),
  errors: described(
    'Images that could not be judged.',
    Type.Array(Type.Object({ ...ErrorSchema.properties, path: nullable(Type.String()) })),
  ),
});
