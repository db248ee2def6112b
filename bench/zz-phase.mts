import { openSync, fstatSync, readSync } from 'node:fs';
import { readCensus, readQcow2Header } from '#formats';
import { fileDevice } from '/work/main/src/host/file-device.ts';
import { loadFfi } from '/work/main/src/host/ffi.ts';
const fd=openSync(process.argv[2]!,'r'); const len=fstatSync(fd).size;
const mode=process.argv[3];
let ffi:any; if(mode==='ffi') ffi=await (loadFfi as any)();
const dev=fileDevice(fd,len,'x',()=>ffi);
let readMs=0, calls=0;
const d={byteLength:len, async read(o:number,l:number,i?:Uint8Array){const t=performance.now();calls++;
 if(mode==='sync'){const target=i&&i.byteLength>=l?i:Buffer.allocUnsafe(l);const n=readSync(fd,target,0,Math.min(l,len-o),o);readMs+=performance.now()-t;return target.subarray(0,n)}
 if(mode==='zero'){const target=i&&i.byteLength>=l?i:Buffer.allocUnsafe(l);return target.subarray(0,l)}
 const r=await dev.read(o,l,i);readMs+=performance.now()-t;return r;}};
const h=await readQcow2Header(d as any);
const t0=performance.now(); const c=await readCensus(d as any,h); console.log('census',(performance.now()-t0).toFixed(1),'reads',calls,readMs.toFixed(1), c.inPlaceCount);
