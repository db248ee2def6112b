/** Where in a container file the guest's own data lies. */
import type { ImageDevice } from '#block';

/** Whether byte `at` of the file belongs to guest data that is stored as it is. */
export async function isGuestData(image: ImageDevice, at: number): Promise<boolean> {
  for await (const { start, end, fileOffset, compressed } of image.extents(0, image.byteLength)) {
    if (fileOffset !== undefined && !compressed && at >= fileOffset && at < fileOffset + (end - start)) return true;
  }
  return false;
}
