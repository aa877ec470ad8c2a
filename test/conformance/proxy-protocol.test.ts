/**
 * PROXY headers that others wrote, read beside the repository (see README there). A header that ends before it is
 * complete counts as refused: the connection that it begins is closed when its time is over.
 */
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { test } from 'tap'
import { type ProxyEndpoint, parseProxyHeader } from '../../src/codec/proxy-protocol.ts'

const DATA = new URL('../../../shared/conformance/proxy-protocol/', import.meta.url)

interface HeaderCase {
  readonly id: string
  readonly expect: 'accept' | 'reject'
  readonly bytes?: string
  readonly send?: readonly string[]
  readonly version?: 1 | 2
  readonly local?: boolean
  readonly src?: string
  readonly dst?: string
}

/** Where this project reads the specification more strictly than the source of the case. */
const REFUSED_HERE: ReadonlyMap<string, string> = new Map([
  [
    'gunicorn-proxyproto/valid/pp_03',
    'a header is required where it is on, never guessed (section 5)',
  ],
  ...[
    'proxy TCPv4 with TLV',
    'proxy TCPv6 with TLV',
    'proxy unix stream with TLV',
    'proxy TCPv4 with medium TLV',
  ].map(
    name =>
      [
        `go-proxyproto/valid-v2/${name}`,
        'random bytes are no TLVs, and TLVs that cannot be read may hide a checksum or an identity',
      ] as const,
  ),
])

const ABSENT = existsSync(DATA) ? false : 'shared/conformance/proxy-protocol is absent'

await test('PROXY headers of other projects are judged as they say', { skip: ABSENT }, async t => {
  const cases = readdirSync(DATA)
    .filter(name => name.endsWith('.jsonl'))
    .flatMap(name => readFileSync(new URL(name, DATA), 'utf8').trim().split('\n'))
    .map(line => JSON.parse(line) as HeaderCase)
  t.ok(cases.length >= 73, `${cases.length} cases`)
  for (const headerCase of cases) {
    const bytes = Buffer.concat(
      (headerCase.send ?? [headerCase.bytes ?? '']).map(part => Buffer.from(part, 'base64')),
    )
    const result = parseProxyHeader(bytes)
    const strict = REFUSED_HERE.get(headerCase.id)
    if (strict !== undefined) t.comment(`${headerCase.id}: refused here, ${strict}`)
    const verdict = result.kind === 'header' ? 'accept' : 'reject'
    t.equal(verdict, strict === undefined ? headerCase.expect : 'reject', headerCase.id)
    if (result.kind !== 'header' || headerCase.version === undefined) continue
    t.match(result.header, { version: headerCase.version, local: headerCase.local }, headerCase.id)
    // The addresses of LOCAL are to be discarded, and those of UNIX are no IP addresses.
    if (result.header.local || !headerCase.src?.includes(':')) continue
    t.equal(written(result.header.source), headerCase.src, `${headerCase.id}: source`)
    t.equal(written(result.header.destination), headerCase.dst, `${headerCase.id}: destination`)
  }
})

function written(endpoint: ProxyEndpoint | undefined): string | undefined {
  if (endpoint === undefined) return undefined
  const { address, port } = endpoint
  return address.includes(':') ? `[${address}]:${port}` : `${address}:${port}`
}
