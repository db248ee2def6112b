/** References between image files: the policy, one resolver of chains, and the content of an image with all that it refers to. */
export { type ContentOptions, type GuestContent, openContent } from './content.ts';
export { type ContentFileOptions, openContentFile } from './content-file.ts';
export {
  type DataReference,
  dataFileReach,
  type FileReferences,
  referencesOfQcow2,
  referencesOfLayer,
  referencesOfSplitDisk,
} from './file-references.ts';
export { metadataBudget, metadataDevice, PREFIX_BYTES } from './metadata-device.ts';
export { refusedName } from './policy.ts';
export { type OpenReference, type ReferencedFile, type ReferencePolicy, referencesOf } from './referenced-file.ts';
export {
  type ChainTop,
  failureOf,
  isTooDeep,
  type Reference,
  type ReferenceFailure,
  ReferenceResolver,
  type Resolution,
  type ResolvedFile,
} from './resolver.ts';
export { chooseFormat, gatherEvidence } from './source-format.ts';
