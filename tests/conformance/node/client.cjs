// Drives the official gateway client through everything that it does, and prints what came back as one line of JSON.
//
//   echo '{"address": …, "mspId": …, …}' | NODE_PATH=…/node_modules node client.cjs

'use strict';

const crypto = require('node:crypto');
const fs = require('node:fs');
const os = require('node:os');
const path = require('node:path');
const grpc = require('@grpc/grpc-js');
const { connect, checkpointers, hash, signers } = require('@hyperledger/fabric-gateway');

const settings = JSON.parse(fs.readFileSync(0, 'utf8'));
const text = (bytes) => Buffer.from(bytes).toString();
const deadline = () => ({ deadline: Date.now() + 20000 });

async function main() {
    const identity = { mspId: settings.mspId, credentials: Buffer.from(settings.certificate) };
    const signer = signers.newPrivateKeySigner(crypto.createPrivateKey(settings.privateKey));
    const client = new grpc.Client(settings.address, grpc.credentials.createSsl(Buffer.from(settings.tlsCa)), {
        ...(settings.serverName ? { 'grpc.ssl_target_name_override': settings.serverName } : {}),
    });
    const options = { client, identity, signer, hash: hash.sha256, evaluateOptions: deadline, endorseOptions: deadline,
        submitOptions: deadline, commitStatusOptions: deadline };
    const gateway = connect(options);
    try {
        const network = gateway.getNetwork(settings.channel);
        const contract = network.getContract(settings.chaincode);
        const sections = { basics, steps, refusals, conflict, offline, chaincodeEvents, blockEvents };
        const found = {};
        for (const [name, section] of Object.entries(sections)) {
            found[name] = await section({ gateway, network, contract, signer, options, key: `${settings.key}-${name}` });
        }
        process.stdout.write(JSON.stringify(found, (_, value) => (typeof value === 'bigint' ? Number(value) : value)));
    } finally {
        gateway.close();
        client.close();
    }
}

async function basics({ contract, key }) {
    const submitted = text(await contract.submitTransaction('Put', key, 'value'));
    return { submitted, evaluated: text(await contract.evaluateTransaction('Get', key)) };
}

async function steps({ contract, key }) {
    const proposal = contract.newProposal('Secret', { arguments: ['s'], transientData: { s: 'hidden' } });
    const evaluated = text(await proposal.evaluate());
    const transaction = await contract.newProposal('Increment', { arguments: [key] }).endorse();
    const result = text(transaction.getResult());
    const commit = await transaction.submit();
    const status = await commit.getStatus();
    const again = await (await transaction.submit()).getStatus();
    return { evaluated, result, status, again, transactionId: transaction.getTransactionId() };
}

async function refusals({ contract, key }) {
    const failed = async (call) => {
        try {
            await call();
        } catch (error) {
            return { name: error.name, code: error.code, message: error.message, details: error.details,
                transactionId: error.transactionId };
        }
        return null;
    };
    return {
        endorse: await failed(() => contract.submitTransaction('Refuse', '400', 'not now')),
        evaluate: await failed(() => contract.evaluateTransaction('Refuse', '400', 'not now')),
        mismatch: await failed(() => contract.submitTransaction('Random')),
        policy: await failed(() => contract.submit('Put', { arguments: [key, 'v'], endorsingOrganizations: [settings.mspId] })),
    };
}

async function conflict({ contract, key }) {
    const first = await contract.newProposal('Increment', { arguments: [key] }).endorse();
    const second = await contract.newProposal('Increment', { arguments: [key] }).endorse();
    const codes = [];
    for (const transaction of [first, second]) {
        codes.push((await (await transaction.submit()).getStatus()).code);
    }
    return { codes };
}

async function offline({ options, contract, signer, key }) {
    const { signer: _, ...unsigned } = options;
    const gateway = connect(unsigned);
    try {
        const unsignedProposal = gateway.getNetwork(settings.channel).getContract(settings.chaincode)
            .newProposal('Put', { arguments: [key, 'offline'] });
        const proposal = gateway.newSignedProposal(unsignedProposal.getBytes(), await signer(unsignedProposal.getDigest()));
        const unsignedTransaction = await proposal.endorse();
        const transaction = gateway.newSignedTransaction(unsignedTransaction.getBytes(),
            await signer(unsignedTransaction.getDigest()));
        const unsignedCommit = await transaction.submit();
        const commit = gateway.newSignedCommit(unsignedCommit.getBytes(), await signer(unsignedCommit.getDigest()));
        return { status: await commit.getStatus(), evaluated: text(await contract.evaluateTransaction('Get', key)) };
    } finally {
        gateway.close();
    }
}

async function chaincodeEvents({ network, contract }) {
    const sent = [];
    for (const name of ['one', 'two', 'three']) {
        const commit = await contract.submitAsync('Emit', { arguments: [name] });
        sent.push({ transactionId: commit.getTransactionId(), blockNumber: (await commit.getStatus()).blockNumber });
    }
    const describe = (event) => ({ ...event, payload: text(event.payload) });
    const replayed = [];
    const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'conformance-'));
    const file = path.join(folder, 'checkpoint.json');
    const checkpointer = await checkpointers.file(file);
    const start = { startBlock: sent[0].blockNumber, checkpoint: checkpointer };
    const events = await network.getChaincodeEvents(settings.chaincode, start);
    for await (const event of events) {
        replayed.push(describe(event));
        await checkpointer.checkpointChaincodeEvent(event);
        if (replayed.length === 2) {
            break;
        }
    }
    events.close();
    const checkpoint = JSON.parse(fs.readFileSync(file, 'utf8'));
    const resumed = await next(await network.getChaincodeEvents(settings.chaincode,
        { checkpoint: await checkpointers.file(file) }));
    fs.rmSync(folder, { recursive: true });

    const live = await network.getChaincodeEvents(settings.chaincode);
    const waiting = next(live);
    const ids = [];
    let finished = false;
    waiting.finally(() => { finished = true; });
    while (!finished) {  // when the server has the request is for the server to know
        ids.push((await contract.submitAsync('Emit', { arguments: ['live'] })).getTransactionId());
        await new Promise((resolve) => setTimeout(resolve, 100));
    }
    return { sent, replayed, checkpoint, resumed: describe(resumed), live: ids.includes((await waiting).transactionId) };
}

async function next(events) {
    for await (const event of events) {
        events.close();
        return event;
    }
    throw new Error('the stream ended');
}

async function blockEvents({ network, contract, key }) {
    const commit = await contract.submitAsync('Put', { arguments: [key, 'v'] });
    const { blockNumber } = await commit.getStatus();
    const block = await next(await network.getBlockEvents({ startBlock: blockNumber }));
    const filtered = await next(await network.getFilteredBlockEvents({ startBlock: blockNumber }));
    return {
        blockNumber,
        number: block.getHeader().getNumber(),
        envelopes: block.getData().getDataList().length,
        filteredNumber: filtered.getNumber(),
        found: filtered.getFilteredTransactionsList().some((each) => each.getTxid() === commit.getTransactionId()),
    };
}

main().catch((error) => {
    console.error(error);
    process.exitCode = 1;
});
