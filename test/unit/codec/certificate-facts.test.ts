/** What certificates say about their use: our walk over the DER against pkijs, which reads all of it. */
import { X509Certificate } from 'node:crypto'
import { BitString, Integer, OctetString } from 'asn1js'
import fc from 'fast-check'
import {
  AltName,
  BasicConstraints,
  Certificate,
  ExtKeyUsage,
  GeneralNames,
  id_BasicConstraints,
  id_ExtKeyUsage,
  id_KeyUsage,
  id_SubjectAltName,
} from 'pkijs'
import { test } from 'tap'
import {
  type CertificateFacts,
  readCertificateFacts,
} from '../../../src/codec/certificate-facts.ts'
import { readSvid } from '../../../src/runtime/certificates/x509-svid.ts'
import {
  ANY_PURPOSE,
  attribute,
  type CertificateParts,
  CLIENT_AUTH,
  dns,
  extension,
  issue,
  mail,
  SERVER_AUTH,
  uri,
} from '../../support/custom-certificate.ts'

const ID = 'spiffe://example.org/tenant/acme'
const OID_CLIENT_AUTH = '1.3.6.1.5.5.7.3.2'

const READ = [id_BasicConstraints, id_KeyUsage, id_ExtKeyUsage, id_SubjectAltName]

/** Whether OpenSSL takes it for a certificate at all; pkijs passes over parts that are damaged. */
function isReadByNode(der: Buffer): boolean {
  try {
    return new X509Certificate(der).raw.length > 0
  } catch {
    return false
  }
}

/** pkijs says nothing, or hands out an object that is marked, where it cannot read the value of an extension. */
function isRead(value: unknown): boolean {
  return (
    typeof value === 'object' && value !== null && !('parsingError' in value && value.parsingError)
  )
}

/** The same facts by way of pkijs; `undefined` where it cannot read the certificate, or reads something twice. */
function factsByPkijs(der: Buffer): CertificateFacts | undefined {
  let certificate: Certificate
  try {
    certificate = Certificate.fromBER(Uint8Array.from(der))
  } catch {
    return undefined
  }
  const extensions = certificate.extensions ?? []
  const only = (id: string): (typeof extensions)[number] | undefined =>
    extensions.find(each => each.extnID === id)
  const parsed = (id: string): unknown => only(id)?.parsedValue
  if (READ.some(id => only(id) !== undefined && !isRead(parsed(id)))) return undefined
  const constraints = parsed(id_BasicConstraints)
  const usage = parsed(id_KeyUsage)
  const purposes = parsed(id_ExtKeyUsage)
  const names = parsed(id_SubjectAltName)
  return {
    authority: constraints instanceof BasicConstraints && constraints.cA,
    keyUsage: usage instanceof BitString ? (usage.valueBlock.valueHexView[0] ?? 0) : undefined,
    keyUsageCritical: only(id_KeyUsage)?.critical ?? false,
    clientAuth:
      purposes instanceof ExtKeyUsage ? purposes.keyPurposes.includes(OID_CLIENT_AUTH) : undefined,
    uris:
      names instanceof AltName
        ? names.altNames.flatMap(({ type, value }) => (type === 6 ? [String(value)] : []))
        : [],
    alternativeNamesCritical: only(id_SubjectAltName)?.critical ?? false,
    named: certificate.subject.typesAndValues.length > 0,
  }
}

const plain = (facts: CertificateFacts | undefined): unknown =>
  facts === undefined ? undefined : { ...facts, uris: [...facts.uris] }

const KINDS: readonly (readonly [string, CertificateParts])[] = [
  ['a leaf without anything', { authority: 'absent', keyUsage: 'absent' }],
  ['a leaf as it should be', { altNames: [uri(ID)], purposes: [CLIENT_AUTH, SERVER_AUTH] }],
  ['an authority', { authority: true, keyUsage: ['keyCertSign', 'cRLSign'], pathLength: 3 }],
  ['an authority that must not sign', { authority: true, keyUsage: ['digitalSignature'] }],
  [
    'every usage',
    {
      keyUsage: [
        'digitalSignature',
        'keyEncipherment',
        'keyAgreement',
        'keyCertSign',
        'cRLSign',
        'encipherOnly',
      ],
    },
  ],
  ['no usage at all', { keyUsage: [] }],
  ['usage that is not critical', { keyUsageCritical: false }],
  ['other purposes', { purposes: [SERVER_AUTH, ANY_PURPOSE] }],
  [
    'many names',
    {
      altNames: [dns('a.b'), uri(ID), mail('a@b'), uri('https://x/y'), uri('')],
      altNamesCritical: true,
    },
  ],
  ['no subject', { subject: [], altNames: [uri(ID)] }],
  [
    'a long subject',
    { subject: [attribute('O', 'x'.repeat(300)), attribute('CN', 'y'.repeat(300))] },
  ],
  ['bytes that are no ASCII', { altNames: [uri('spiffe://example.org/\u00e9\u{1f600}\0\n')] }],
]

for (const [kind, parts] of KINDS) {
  await test(`reads what pkijs reads: ${kind}`, async t => {
    const { x509 } = await issue(parts)
    const facts = readCertificateFacts(x509.raw)
    t.not(facts, undefined)
    t.same(plain(facts), plain(factsByPkijs(x509.raw)))
  })
}

await test('sees the CA flag where Node does not', async t => {
  const { x509 } = await issue({ authority: true, keyUsage: ['digitalSignature'] })
  t.equal(x509.ca, false, 'Node says what may sign, not what the flag is')
  t.equal(readCertificateFacts(x509.raw)?.authority, true)
})

await test('takes nothing of what stands there twice', async t => {
  const twice: readonly (readonly [string, CertificateParts])[] = [
    [
      'keyUsage',
      {
        more: [
          extension(
            id_KeyUsage,
            new BitString({ valueHex: Uint8Array.of(0x80).buffer, unusedBits: 7 }),
            true,
          ),
        ],
      },
    ],
    [
      'basicConstraints',
      { more: [extension(id_BasicConstraints, new BasicConstraints({ cA: true }))] },
    ],
    [
      'extendedKeyUsage',
      {
        purposes: [CLIENT_AUTH],
        more: [extension(id_ExtKeyUsage, new ExtKeyUsage({ keyPurposes: [SERVER_AUTH] }))],
      },
    ],
    [
      'subjectAltName',
      {
        altNames: [uri(ID)],
        more: [extension(id_SubjectAltName, new GeneralNames({ names: [uri(ID)] }))],
      },
    ],
  ]
  for (const [name, parts] of twice)
    t.equal(readCertificateFacts((await issue(parts)).x509.raw), undefined, name)
})

await test('takes nothing of what is not DER', async t => {
  const { x509 } = await issue({ altNames: [uri(ID)], purposes: [CLIENT_AUTH] })
  const der = x509.raw
  t.equal(readCertificateFacts(Buffer.alloc(0)), undefined, 'nothing')
  t.equal(readCertificateFacts(Buffer.concat([der, Buffer.of(0)])), undefined, 'more behind it')
  t.equal(
    readCertificateFacts(Buffer.concat([Buffer.of(0x30, 0x80), der.subarray(4), Buffer.of(0, 0)])),
    undefined,
    'a length that is not said',
  )
  t.equal(
    readCertificateFacts(Buffer.concat([Buffer.of(0x30, 0x83, 0x00), der.subarray(2)])),
    undefined,
    'a length that is longer than needed',
  )
  for (let length = 0; length < der.length; length++) {
    if (readCertificateFacts(der.subarray(0, length)) !== undefined) t.fail(`cut at ${length}`)
  }
  const badValues: readonly (readonly [string, CertificateParts])[] = [
    [
      'keyUsage with bits behind its end',
      {
        keyUsage: 'absent',
        more: [
          extension(
            id_KeyUsage,
            new BitString({ valueHex: Uint8Array.of(0x86).buffer, unusedBits: 7 }),
            true,
          ),
        ],
      },
    ],
    [
      'keyUsage that is no BIT STRING',
      { keyUsage: 'absent', more: [extension(id_KeyUsage, new Integer({ value: 128 }), true)] },
    ],
    [
      'basicConstraints that are no SEQUENCE',
      {
        authority: 'absent',
        more: [
          extension(id_BasicConstraints, new OctetString({ valueHex: Uint8Array.of(1).buffer })),
        ],
      },
    ],
    [
      'extendedKeyUsage that is no SEQUENCE',
      { more: [extension(id_ExtKeyUsage, new Integer({ value: 1 }))] },
    ],
    [
      'names that are no SEQUENCE',
      { more: [extension(id_SubjectAltName, new Integer({ value: 1 }))] },
    ],
    [
      'more names than anybody has',
      { altNames: Array.from({ length: 300 }, (_, i) => uri(`https://x/${i}`)) },
    ],
  ]
  for (const [name, parts] of badValues)
    t.equal(readCertificateFacts((await issue(parts)).x509.raw), undefined, name)
})

await test('mutated certificates: never throws, and makes no SVID of what is none to pkijs', async t => {
  const samples = await Promise.all(KINDS.map(async ([, parts]) => (await issue(parts)).x509.raw))
  const edit = fc.record({ at: fc.nat({ max: 100_000 }), byte: fc.integer({ min: 0, max: 255 }) })
  const mutation = fc.record({
    sample: fc.nat({ max: samples.length - 1 }),
    edits: fc.array(edit, { minLength: 1, maxLength: 3 }),
    cut: fc.option(fc.nat({ max: 1_000 }), { freq: 10 }),
  })
  let read = 0
  let svids = 0
  fc.assert(
    fc.property(mutation, ({ sample, edits, cut }) => {
      const der = Buffer.from(samples[sample] ?? Buffer.alloc(0))
      for (const { at, byte } of edits) der[at % der.length] = byte
      const mutant = cut === null ? der : der.subarray(0, cut)
      const facts = readCertificateFacts(mutant)
      if (facts === undefined) return
      read += 1
      const svid = readSvid(facts)
      if (typeof svid !== 'object') return
      // Times and algorithms are not looked into here; OpenSSL has done that before.
      const other = isReadByNode(mutant) ? factsByPkijs(mutant) : undefined
      if (other === undefined) return
      svids += 1
      t.same(readSvid(other), svid)
    }),
    { numRuns: 3_000 },
  )
  t.ok(read > 500, `${read} of the mutants could be read`)
  t.ok(svids > 20, `${svids} of them are SVIDs`)
})

await test('any bytes: never throws', async t => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), bytes => {
      readCertificateFacts(bytes)
    }),
    { numRuns: 5_000 },
  )
  t.pass()
})
