import { CHUNK_DATA, CHUNK_END, ChunkedDecoder } from '../../src/codec/http1/chunked.ts'
import { FieldTable } from '../../src/codec/http1/field-table.ts'
import type { MicroBench, Run } from './measure.ts'

export const benches: readonly MicroBench[] = [
  { name: 'chunked-body-of-4-KiB', prepare: () => decode(4, 1_024) },
  { name: 'chunked-body-of-64-KiB', prepare: () => decode(4, 16_384) },
]

/** A whole body of so many chunks. */
function decode(chunks: number, bytes: number): Run {
  const chunk = `${bytes.toString(16)}\r\n${'x'.repeat(bytes)}\r\n`
  const body = Buffer.from(`${chunk.repeat(chunks)}0\r\n\r\n`)
  const decoder = new ChunkedDecoder(new FieldTable([]))
  return times => {
    let data = 0
    for (let time = 0; time < times; time += 1) {
      decoder.reset()
      let [at, found] = [0, CHUNK_DATA]
      while (found === CHUNK_DATA) {
        found = decoder.next(body, at, body.length)
        at = decoder.position
        if (found === CHUNK_DATA) data += at - decoder.dataStart
      }
      if (found !== CHUNK_END) throw new Error(`no end: ${found}`)
    }
    if (data !== times * chunks * bytes) throw new Error('not all data')
  }
}
