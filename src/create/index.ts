/** New images: their options, their figures before they exist, and their creation. */
export { type CreatedImage, createImage, type CreateRequest } from './create-image.ts';
export { type BackingChoice, type CreateOptions, type NewImageFormat, parseCreateOptions } from './create-options.ts';
export { commitmentOfNew, measureNew, plannedTables } from './measure-new.ts';
export { type CopySource, measureCopy } from './measure-copy.ts';
export { addInternalSnapshot } from './demo-snapshot.ts';
