/** What a format's reader says of writing to an image, as reasons of a verdict. */
import type { WriteHazard } from '#formats';
import type { Reasons } from './reasons.ts';

/**
 * One read of an image with a hazard is as good as of any other, so it may be converted; attached it may not be, whatever the
 * policy. `hostile`: codes of what no known writer leaves behind, which is refused.
 */
export function judgeHazards(hazards: readonly WriteHazard[], hostile: readonly string[], reasons: Reasons): void {
  for (const { code, message, at } of hazards) {
    if (hostile.includes(code)) reasons.refuse(code, message, at);
    else reasons.convert(code, message, at);
  }
}
