/** What is read of certificates and revocation lists before OpenSSL has them: nothing that is broken may pass for none. */
import { X509Certificate } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { test } from 'tap'
import {
  certificateSubject,
  revocationListFields,
} from '../../../../src/runtime/certificates/der.ts'
import { derOf, revocationListsIn } from '../../../../src/runtime/certificates/revocation-lists.ts'
import { OpensslAuthority, WITHOUT_OPENSSL } from '../../../support/openssl-authority.ts'
import { SeededRandom } from '../../../support/seeded-random.ts'

const skip = WITHOUT_OPENSSL

await test('lists in PEM and DER are the same, with the issuer as in its certificate', {
  skip,
}, async t => {
  const ca = OpensslAuthority.root(t)
  const day = 86_400_000
  const der = readFileSync(ca.revocationList([ca.client('a')], { form: 'DER', days: 3 }))
  const [pem = '', ...others] = revocationListsIn(der) ?? []
  t.same(others, [])
  t.ok(derOf(pem).equals(der))
  t.same(revocationListsIn(Buffer.from(`a text\n${pem}and another\n${pem}`)), [pem, pem])
  const fields = revocationListFields(der)
  t.equal(fields?.issuer, certificateSubject(new X509Certificate(ca.cert).raw))
  t.ok(Math.abs((fields?.nextUpdate ?? 0) - Date.now() - 3 * day) < 60_000)
  t.ok(Math.abs((fields?.thisUpdate ?? 0) - Date.now() + 30 * day) < 60_000)
})

await test('what is broken is no list, and never an empty one', { skip }, async t => {
  const ca = OpensslAuthority.root(t)
  const pem = readFileSync(ca.revocationList([]), 'utf8')
  for (const text of [
    '',
    'nonsense',
    ca.cert,
    pem.slice(0, 200),
    pem.replace('END', 'ENDE'),
    `${pem}${pem.slice(0, 200)}`,
  ])
    t.equal(revocationListsIn(Buffer.from(text)), undefined, text.slice(-40))
  t.equal(revocationListsIn(derOf(pem).subarray(1)), undefined)
  t.equal(revocationListsIn(derOf(ca.cert)), undefined, 'a certificate')
})

await test('no bytes make the reader throw', { skip }, async t => {
  const ca = OpensslAuthority.root(t)
  const der = derOf(readFileSync(ca.revocationList([]), 'utf8'))
  const { raw } = new X509Certificate(ca.cert)
  const random = new SeededRandom(20_261_126)
  for (const bytes of [der, raw]) {
    for (let length = 0; length < bytes.length; length++) {
      revocationListFields(bytes.subarray(0, length))
      certificateSubject(bytes.subarray(0, length))
    }
    for (let round = 0; round < 3_000; round++) {
      const changed = Buffer.from(bytes)
      for (let flips = 0; flips < 3; flips++)
        changed[random.below(changed.length)] = random.below(256)
      revocationListFields(changed)
      certificateSubject(changed)
    }
  }
  t.pass('it did not')
})
