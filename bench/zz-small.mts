import { makeSmallImages } from './small-images.ts';
import { rmSync } from 'node:fs';
rmSync('/root/b/sm',{recursive:true,force:true});
makeSmallImages('/root/b/sm',1000);
