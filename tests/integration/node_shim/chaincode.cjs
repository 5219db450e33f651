// A chaincode on the official Node shim, served as devnet's tests want it: one function for each thing that a shim does.
//
//   NODE_PATH=…/node_modules node chaincode.cjs ADDRESS CHAINCODE_ID

'use strict';

const shim = require('fabric-shim');

const text = (bytes) => Buffer.from(bytes).toString();

async function collect(iterator) {
    const found = [];
    for (;;) {
        const { value, done } = await iterator.next();
        if (value) {
            found.push({ key: value.key, value: text(value.value), deleted: value.isDelete });
        }
        if (done) {
            await iterator.close();
            return found;
        }
    }
}

const functions = {
    put: (stub, key, value) => stub.putState(key, Buffer.from(value)),
    get: (stub, key) => stub.getState(key),
    remove: (stub, key) => stub.deleteState(key),
    async increment(stub, key) {
        const number = Number(text(await stub.getState(key)) || '0') + 1;
        await stub.putState(key, Buffer.from(String(number)));
        return Buffer.from(String(number));
    },
    async range(stub, start, end) {
        return JSON.stringify((await collect(await stub.getStateByRange(start, end))).map((each) => each.key));
    },
    async page(stub, start, end, size, bookmark) {
        const { iterator, metadata } = await stub.getStateByRangeWithPagination(start, end, Number(size), bookmark);
        const keys = (await collect(iterator)).map((each) => each.key);
        return JSON.stringify({ keys, count: metadata.fetchedRecordsCount, bookmark: metadata.bookmark });
    },
    async history(stub, key) {
        const changes = await collect(await stub.getHistoryForKey(key));
        return JSON.stringify(changes.map(({ value, deleted }) => ({ value, deleted })));
    },
    async pair(stub, kind, first, second) {
        await stub.putState(stub.createCompositeKey(kind, [first, second]), Buffer.from('pair'));
    },
    async pairs(stub, kind, first) {
        const found = await collect(await stub.getStateByPartialCompositeKey(kind, [first]));
        return JSON.stringify(found.map((each) => stub.splitCompositeKey(each.key).attributes));
    },
    emit(stub, name, payload) {
        stub.setEvent(name, Buffer.from(payload));
        return stub.putState('emitted', Buffer.from(name));
    },
    secret: (stub) => stub.getTransient().get('secret'),
    caller: (stub) => stub.getCreator().mspid,
    random: (stub) => stub.putState('random', Buffer.from(String(Math.random()))),
    refuse(stub, message) {
        throw new Error(message);
    },
    async call(stub, chaincode, ...args) {
        return (await stub.invokeChaincode(chaincode, args, '')).payload;
    },
};

const chaincode = {
    async Init() {
        return shim.success();
    },
    async Invoke(stub) {
        const [name, ...args] = stub.getArgs();
        try {
            const answer = await functions[name](stub, ...args);
            return shim.success(answer === undefined ? undefined : Buffer.from(answer));
        } catch (error) {
            return shim.error(error.message);
        }
    },
};

const [address, ccid] = process.argv.slice(2);
shim.server(chaincode, { ccid, address }).start();
