/** Header blocks of five encoders that others wrote, read beside the repository (see README there). */
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { test } from 'tap'
import { HeaderField, INDEXED } from '../../src/codec/http2/header-field.ts'
import { HpackDecoder } from '../../src/codec/http2/hpack-decoder.ts'
import { HpackEncoder } from '../../src/codec/http2/hpack-encoder.ts'

const DATA = new URL('../../../shared/conformance/hpack/', import.meta.url)
const CAPS = { listSize: 1024 * 1024, fields: 10_000 }

interface Story {
  readonly cases: readonly {
    readonly wire?: string
    readonly header_table_size?: number
    readonly headers: readonly Readonly<Record<string, string>>[]
  }[]
}

function textOf(fields: readonly { readonly name: string; readonly value: string }[]): string {
  return fields.map(({ name, value }) => `${name}: ${value}`).join('\n')
}

function expected({ headers }: Story['cases'][number]): { name: string; value: string }[] {
  return headers.flatMap(header =>
    Object.entries(header).map(([name, value]) => ({
      name,
      // The stories are UTF-8; on the wire an octet is a character of ours.
      value: Buffer.from(value, 'utf8').toString('latin1'),
    })),
  )
}

const ABSENT = existsSync(DATA) ? false : 'shared/conformance/hpack is absent'

await test('header blocks of other encoders say what their authors say', {
  skip: ABSENT,
}, async t => {
  let blocks = 0
  for (const encoder of readdirSync(DATA).filter(
    name => !name.includes('.') && name !== 'LICENSE',
  )) {
    for (const name of readdirSync(new URL(`${encoder}/`, DATA))) {
      if (!name.endsWith('.json')) continue
      const story = JSON.parse(readFileSync(new URL(`${encoder}/${name}`, DATA), 'utf8')) as Story
      const largest = Math.max(4_096, ...story.cases.map(each => each.header_table_size ?? 0))
      const decoder = new HpackDecoder({ ...CAPS, tableSize: largest })
      const own = {
        encoder: new HpackEncoder(),
        decoder: new HpackDecoder({ ...CAPS, tableSize: 4_096 }),
      }
      for (const [index, each] of story.cases.entries()) {
        const list = expected(each)
        const place = `${encoder}/${name} ${index}`
        if (each.wire !== undefined) {
          const block = Buffer.from(each.wire, 'hex')
          if (!decoder.decode(block, 0, block.length) || textOf(decoder.fields) !== textOf(list))
            t.fail(place)
          blocks += 1
        }
        const fields = list.map(field => new HeaderField(field.name, field.value, INDEXED))
        const into = Buffer.alloc(HpackEncoder.mostOctets(fields))
        const end = own.encoder.encode(fields, into, 0)
        if (!own.decoder.decode(into, 0, end) || textOf(own.decoder.fields) !== textOf(list))
          t.fail(`${place}, written and read by ourselves`)
      }
    }
  }
  t.ok(blocks > 500, `${blocks} blocks`)
})
