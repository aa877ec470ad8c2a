import { test } from 'tap'
import { INDEXED, NEVER, PLAIN } from '../../../../src/codec/http2/header-field.ts'
import {
  fieldOf,
  lengthField,
  MessageFields,
} from '../../../../src/proxy/forward/message-fields.ts'

function listOf(lines: string): (readonly [string, string, number])[] {
  const fields = new MessageFields()
  fields.setLines(lines)
  return fields.list.map(({ name, value, indexing }) => [name, value, indexing])
}

function linesOf(...fields: (readonly [string, string])[]): string {
  const message = new MessageFields()
  message.setList(fields.map(([name, value]) => fieldOf(name, value)))
  return message.lines
}

await test('lines become fields, their names in lower case and their values without blanks around', async t => {
  const lines = 'Content-Type:text/html\r\nX-A: \t b c \t\r\nX-Empty:\r\nX-A: d:e\r\n'
  const fields = [
    ['content-type', 'text/html', INDEXED],
    ['x-a', 'b c', INDEXED],
    ['x-empty', '', INDEXED],
    ['x-a', 'd:e', INDEXED],
  ]
  t.same(listOf(lines), fields)
  t.same(listOf(lines), fields, 'and so they do when they come again')
  t.same(listOf(''), [])
})

await test('lines that came before are the same fields, but for those that differ each time or are secrets', async t => {
  const once = (line: string): unknown => {
    const fields = new MessageFields()
    fields.setLines(line)
    return fields.list[0]
  }
  t.equal(once('Server: nginx\r\n'), once('Server: nginx\r\n'))
  t.not(once('Server: nginx\r\n'), once('Server: nginx/2\r\n'))
  for (const line of [
    'Set-Cookie: a=b\r\n',
    'Authorization: Bearer a\r\n',
    'ETag: "1"\r\n',
    `X-Long: ${'a'.repeat(3_000)}\r\n`,
  ])
    t.not(once(line), once(line), line.slice(0, 20))
  t.same(listOf('Set-Cookie: a=b\r\n'), [['set-cookie', 'a=b', NEVER]])
  t.same(listOf('ETag: "1"\r\n'), [['etag', '"1"', PLAIN]])
})

await test('sections that came before are the same list, unless they have something that is not kept', async t => {
  const list = (lines: string): unknown => {
    const fields = new MessageFields()
    fields.setLines(lines)
    return fields.list
  }
  const known = 'Server: nginx\r\nDate: now\r\n'
  t.equal(list(known), list(known))
  // Of the same length.
  t.same(listOf('Server: nginx\r\nDate: NOW\r\n').at(-1), ['date', 'NOW', INDEXED])
  t.same(listOf(known).at(-1), ['date', 'now', INDEXED])
  const secret = 'Server: nginx\r\nSet-Cookie: a=b\r\n'
  t.not(list(secret), list(secret))
})

await test('however many lines come, each becomes its own field', async t => {
  for (let round = 0; round < 2; round += 1)
    for (let number = 0; number < 2_000; number += 1) {
      const [field] = listOf(`X-Number: ${number}\r\n`)
      if (field?.[1] !== String(number)) t.fail(`${number} became ${field?.[1]}`)
    }
})

await test('fields become lines', async t => {
  t.equal(linesOf(['x-a', 'b'], ['x-c', '']), 'x-a: b\r\nx-c: \r\n')
})

await test('a length is said in decimal, however large', async t => {
  for (const octets of [0, 1, 4_095, 4_096, 2 ** 50]) {
    for (let time = 0; time < 2; time += 1) {
      const { name, value, indexing } = lengthField(octets)
      t.same([name, value, indexing], ['content-length', String(octets), PLAIN])
    }
  }
})
