import { describe, expect, it } from 'vitest';
import { descriptorText } from '../../../tests/support/vmdk-builder.ts';
import { parseDescriptor } from './descriptor.ts';
import { embeddedText } from './descriptor-text.ts';

const USUAL = descriptorText('monolithicSparse', 'RW 20480 SPARSE "a.vmdk"');
const bytesOf = (text: string): Uint8Array => Buffer.from(text, 'latin1');
const parse = (text: string): unknown => parseDescriptor(bytesOf(text), 512);
const lineAt = (text: string, number: number): number =>
  512 +
  text
    .split('\n')
    .slice(0, number - 1)
    .join('\n').length +
  (number > 1 ? 1 : 0);

describe('parseDescriptor()', () => {
  it('says what the descriptor says', () => {
    const text = USUAL.replace('version=1\n', 'version=1\nencoding="UTF-8"\n').replace(
      '\n# The',
      '\n# Change Tracking File\nchangeTrackPath="a-ctk.vmdk"\n\n# The',
    );
    const { extents, database, changeTrackPath, ...rest } = parseDescriptor(bytesOf(text), 512);
    expect(rest).toEqual({
      version: 1,
      encoding: 'UTF-8',
      cid: 0xf0a4b3c2,
      parentCid: 0xffffffff,
      createType: 'monolithicSparse',
      parentFileNameHint: undefined,
    });
    expect(changeTrackPath?.text).toBe('a-ctk.vmdk');
    expect(extents).toMatchObject([{ access: 'RW', sectors: 20480, type: 'SPARSE', name: { text: 'a.vmdk' }, offset: undefined, line: 9 }]);
    expect([...database]).toEqual([
      ['virtualHWVersion', '4'],
      ['adapterType', 'ide'],
    ]);
  });

  it('keeps the bytes of a name that is not UTF-8', () => {
    const { extents } = parseDescriptor(bytesOf(USUAL.replace('a.vmdk', 'gr\xfcn.vmdk')), 512);
    expect(extents[0]?.name?.text).toBe('gr\ufffdn.vmdk');
    expect(Buffer.from(extents[0]?.name?.bytes ?? []).toString('latin1')).toBe('gr\xfcn.vmdk');
  });

  it('takes carriage returns throughout, and values without spaces in the disk data base', () => {
    expect(parse(USUAL.replaceAll('\n', '\r\n'))).toEqual(expect.objectContaining({ createType: 'monolithicSparse' }));
    expect(parse(USUAL.replaceAll(' = "', '="'))).toEqual(expect.objectContaining({ createType: 'monolithicSparse' }));
  });

  const change = (from: string, to: string): string => USUAL.replace(from, to);
  it.each([
    ['another first line', change('# Disk D', 'Disk D'), 'VMDK_DESCRIPTOR_LINE', 1],
    ['CID in a comment before the CID, which QEMU takes for it', change('version=1', 'version=1\n# CIDs are'), 'VMDK_DESCRIPTOR_KEY', 3],
    ['a parent content ID in another case', change('parentCID', 'parentcid'), 'VMDK_DESCRIPTOR_KEY', 4],
    ['a space before a key', change('CID=', ' CID='), 'VMDK_DESCRIPTOR_LINE', 3],
    ['spaces around a header key', change('CID=', 'CID = '), 'VMDK_DESCRIPTOR_LINE', 3],
    ['a CID of nine digits', change('ffffffff', '0ffffffff'), 'VMDK_DESCRIPTOR_LINE', 4],
    ['no quotation marks', change('"monolithicSparse"', 'monolithicSparse'), 'VMDK_DESCRIPTOR_LINE', 5],
    ['text behind quotation marks', change('Sparse"', 'Sparse"x'), 'VMDK_DESCRIPTOR_LINE', 5],
    ['a line of anything', change('#DDB', 'DDB'), 'VMDK_DESCRIPTOR_LINE', 11],
    ['a value in the disk data base without marks', change('"ide"', 'ide'), 'VMDK_DESCRIPTOR_LINE', 14],
    ['a version that is not known', change('version=1', 'version=4'), 'VMDK_DESCRIPTOR_LINE', 2],
    ['a line of 5000 bytes', change('#DDB', `#${'x'.repeat(5000)}`), 'VMDK_DESCRIPTOR_LINE', 11],
    ['a key in capitals', change('CID', 'cid'), 'VMDK_DESCRIPTOR_KEY', 3],
    ['an unknown key', change('CID=', 'digestFilename="x"\nCID='), 'VMDK_DESCRIPTOR_KEY', 3],
    ['a key of the prototype', change('CID=', 'constructor="x"\nCID='), 'VMDK_DESCRIPTOR_KEY', 3],
    ['a key twice', change('createType', 'CID=1\ncreateType'), 'VMDK_DESCRIPTOR_KEY', 5],
    ['a key twice, in another case', change('ide"', 'ide"\nddb.ADAPTERTYPE = "ide"'), 'VMDK_DESCRIPTOR_KEY', 15],
    ['createType twice', change('\n# Extent', 'createType="monolithicFlat"\n# Extent'), 'VMDK_DESCRIPTOR_KEY', 6],
    ['no CID', change('CID=f0a4b3c2\n', ''), 'VMDK_DESCRIPTOR_KEY', 3],
    ['no parentCID', change('parentCID=ffffffff\n', ''), 'VMDK_DESCRIPTOR_KEY', 1],
    ['no createType', change('createType="monolithicSparse"\n', ''), 'VMDK_DESCRIPTOR_KEY', 1],
    ['a header key behind the extents', change('\n# The', 'isNativeSnapshot="no"\n# The'), 'VMDK_DESCRIPTOR_KEY', 9],
    ['an extent behind the disk data base', `${USUAL}RW 1 SPARSE "b"\n`, 'VMDK_DESCRIPTOR_KEY', 15],
    [
      'createType in a comment',
      change('# Disk DescriptorFile', '# Disk DescriptorFile\n# createType="monolithicFlat"'),
      'VMDK_DESCRIPTOR_KEY',
      2,
    ],
    ['a parent in a comment', change('#DDB', '#parentFileNameHint="x"'), 'VMDK_DESCRIPTOR_KEY', 11],
    ['a parent in a value', change('"ide"', '"parentFileNameHint=x"'), 'VMDK_DESCRIPTOR_KEY', 14],
    ['a parent in a key', change('ddb.adapterType', 'ddb.parentFileNameHint'), 'VMDK_DESCRIPTOR_KEY', 14],
    ['a CID in an extent name', change('a.vmdk', 'CID=1'), 'VMDK_DESCRIPTOR_KEY', 8],
    ['two spaces in an extent', change('RW 20480', 'RW  20480'), 'VMDK_EXTENT', 8],
    ['an access in another case', change('RW 20480', 'rw 20480'), 'VMDK_EXTENT', 8],
    ['an access with an equals sign', change('RW 20480', 'RW=20480'), 'VMDK_EXTENT', 8],
    ['a type that is not known', change('SPARSE', 'SPARSELY'), 'VMDK_EXTENT', 8],
    ['a type in another case', change('SPARSE', 'sparse'), 'VMDK_EXTENT', 8],
    ['sectors with a sign', change('20480', '+20480'), 'VMDK_EXTENT', 8],
    ['sectors with zeros in front', change('20480', '020480'), 'VMDK_EXTENT', 8],
    ['sectors in hexadecimal', change('20480', '0x5000'), 'VMDK_EXTENT', 8],
    ['an offset where none belongs', change('a.vmdk"', 'a.vmdk" 0'), 'VMDK_EXTENT', 8],
    ['no name', change(' "a.vmdk"', ''), 'VMDK_EXTENT', 8],
    ['a name for ZERO', change('SPARSE', 'ZERO'), 'VMDK_EXTENT', 8],
    ['a flat extent without offset', change('SPARSE', 'FLAT'), 'VMDK_EXTENT', 8],
  ])('refuses %s', (_, text, code, line) => {
    const expected = { kind: 'refused', code, where: expect.objectContaining({ field: `line ${line}`, at: lineAt(text, line) }) };
    expect(() => parse(text)).toThrow(expect.objectContaining(expected));
  });

  it.each([
    ['a blank at the end of a line, as VMware leaves it', change('version=1', 'version=1 ')],
    ['"# Disk Descriptor File", as open-vmdk and FreeBSD write it', change('# Disk DescriptorFile', '# Disk Descriptor File')],
    ['the first line of VMDKstream.py', change('# Disk DescriptorFile', '# Description file created by VMDK stream converter')],
    ['comments between the content IDs, as in VMDKstream.py', change('parentCID', '# Indicates no parent\nparentCID')],
    ['an extent without a name, as of mkimg', change('a.vmdk', '')],
    ['a content ID in capitals', change('f0a4b3c2', 'F0A4B3C2')],
    ['a decimal content ID, as of Xen Orchestra', change('f0a4b3c2', '4037326786')],
    ['keys in another case that QEMU does not look for', change('createType', 'CreateType').replace('version', 'Version')],
    ['blanks on one side in the disk data base', change('ide"', 'ide"\nddb.x= "1"')],
    ['a line of blanks', change('\n\n#', '\n \n#')],
  ])('takes %s', (_, text) => {
    expect(parse(text)).toEqual(expect.objectContaining({ createType: 'monolithicSparse', parentCid: 0xffffffff }));
  });

  it.each([
    ['a tab', change('RW 20480', 'RW\t20480'), 'RW\t'],
    ['an escape', change('#DDB', '#\x1b[2J'), '#\x1b'],
    ['a delete', change('#DDB', '#\x7f'), '#\x7f'],
    ['a NUL', change('#DDB', '#\0'), '#\0'],
    ['a lone carriage return', change('#DDB', '#\rDDB'), '#\r'],
    ['a vertical tab', change('"ide"', '"\x0b"'), '"\x0b'],
  ])('refuses %s, with its place', (_, text, before) => {
    const at = 512 + text.indexOf(before) + before.length - 1;
    expect(() => parse(text)).toThrow(expect.objectContaining({ code: 'VMDK_DESCRIPTOR_BYTES', where: expect.objectContaining({ at }) }));
  });

  it('refuses line ends of two kinds, either way', () => {
    const expected = expect.objectContaining({ code: 'VMDK_DESCRIPTOR_BYTES' });
    expect(() => parse(USUAL.replace('version=1\n', 'version=1\r\n'))).toThrow(expected);
    expect(() => parse(USUAL.replaceAll('\n', '\r\n').replace('version=1\r\n', 'version=1\n'))).toThrow(expected);
  });

  it('refuses more than 1 MiB', () => {
    const text = USUAL + '# x\n'.repeat(2 ** 18);
    expect(() => parse(text)).toThrow(expect.objectContaining({ code: 'VMDK_DESCRIPTOR_LENGTH' }));
  });
});

describe('embeddedText()', () => {
  it('ends at the first NUL', () => {
    expect(Buffer.from(embeddedText(bytesOf('text\0\0\0'), 512)).toString()).toBe('text');
  });

  it('passes over what QEMU leaves behind a text that became shorter', () => {
    expect(Buffer.from(embeddedText(bytesOf('a = "42"\n\x002"\n\0\n\0\0'), 512)).toString()).toBe('a = "42"\n');
  });

  it.each([
    ['text\0more\0', 517],
    ['text\0\0t\0\0\0\0t\0', 523],
    ['CID=1\n1234567\0CID=1\n\0', 526],
    ['text without end', 528],
  ])('refuses what hides behind or has no end: %j', (area, at) => {
    const expected = { kind: 'refused', code: 'VMDK_DESCRIPTOR_BYTES', where: expect.objectContaining({ at }) };
    expect(() => embeddedText(bytesOf(area), 512)).toThrow(expect.objectContaining(expected));
  });
});
