import { test } from 'tap'
import { formatAddress, listenAddress } from '../../../src/mixer/address.ts'

await test('the mixer listens where `listen` says, else at the address in `url`', async t => {
  const cases = [
    { url: 'http://127.0.0.1:9092', expected: '127.0.0.1:9092' },
    { url: 'http://mixer.internal', expected: 'mixer.internal:80' },
    { url: 'http://[::1]:9092/prefix', expected: '[::1]:9092' },
    { url: 'https://mixer.example.com', listen: '0.0.0.0:9092', expected: '0.0.0.0:9092' },
    { url: 'http://mixer', listen: '[::]:0', expected: '[::]:0' },
  ]
  for (const { expected, ...options } of cases) {
    const address = listenAddress(options)
    t.equal(address && formatAddress(address), expected, JSON.stringify(options))
  }
})

await test('an https URL alone says nothing of the own address', async t => {
  t.equal(listenAddress({ url: 'https://mixer.example.com:9092' }), undefined)
  t.equal(listenAddress({ url: 'http://mixer', listen: '127.0.0.1:99999' }), undefined)
})
