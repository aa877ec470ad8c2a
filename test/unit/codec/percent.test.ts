import * as fc from 'fast-check'
import { test } from 'tap'
import { percentDecode } from '../../../src/codec/percent.ts'

await test('gives the bytes that were encoded, and leaves the rest', t => {
  t.equal(percentDecode('a+b'), 'a+b')
  t.equal(percentDecode('%61%2B%C3%BC%00'), 'a+\u00c3\u00bc\u0000')
  t.equal(percentDecode('%2541'), '%41', 'once')
  for (const wrong of ['%', 'a%', '%4', '%4g', '%%41', '%+1'])
    t.equal(percentDecode(wrong), undefined, wrong)
  t.end()
})

await test('any bytes come back', t => {
  fc.assert(
    fc.property(fc.uint8Array(), bytes => {
      const encoded = Array.from(bytes, each => `%${each.toString(16).padStart(2, '0')}`).join('')
      return percentDecode(encoded) === Buffer.from(bytes).toString('latin1')
    }),
  )
  t.pass('holds')
  t.end()
})
